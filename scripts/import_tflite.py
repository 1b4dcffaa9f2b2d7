"""Take an int8 .tflite file into a study.

Input: the file, wherever it lies. Outputs: a copy, its IntegerModel. Method: the file is read and checked; it must
have one output a class of the study's data set, and takes pixels 0 … 255 as −128 … 127.
"""

import shutil

from paper2board.convert.tflite_import import read_tflite
from paper2board.errors import UserError
from paper2board.files import atomic_path
from paper2board.integer_model import renamed, write
from paper2board.scripting import running

if __name__ == "__main__":
    with running(snakemake) as log:
        source, classes = snakemake.input.tflite, snakemake.params.classes
        model = read_tflite(source, snakemake.wildcards.variant)
        outputs = model.tensors[model.output].size
        if outputs != len(classes):
            raise UserError(
                f"{source} has {outputs} outputs, the data set has {len(classes)} classes; use another"
            )
        write(renamed(model, model.name, classes=",".join(classes)), snakemake.output.model)
        with atomic_path(snakemake.output.tflite) as temporary:
            shutil.copyfile(source, temporary)
        log(f"{len(model.ops)} operators, input {model.tensors[model.input].shape}")
