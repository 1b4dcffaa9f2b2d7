"""Convert an IntegerModel to int8 .tflite.

Input: IntegerModel. Output: .tflite. Method: TensorFlow's converter with fake-quant nodes on exactly the model's
ranges; the file is read back and every integer compared.
"""

from paper2board.convert.tflite import export
from paper2board.core.scripting import running, snakemake
from paper2board.model.file import read

if __name__ == "__main__":
    with running(snakemake) as log:
        result = export(read(snakemake.input.model), snakemake.output.tflite)
        log(f"written by {result.route}" + (f": {result.reason}" if result.reason else ""))
