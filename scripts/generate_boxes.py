"""Generate the tables with which a detector's device decodes boxes and suppresses duplicates, in integers.

Input: the IntegerModel. Output: C header. Method: ``firmware/app/p2b_boxes.h``.
"""

from paper2board.core.files import write_text
from paper2board.core.scripting import running, snakemake
from paper2board.model.file import read
from paper2board.tasks.detection.boxes import Quantization, int8_tables, tables_header
from paper2board.tasks.detection.grid import Grid

if __name__ == "__main__":
    with running(snakemake):
        model = read(snakemake.input.model)
        output = model.tensors[model.output]
        quantization = Quantization(output.scale, output.zero_point)
        tables = int8_tables(Grid.model_validate(snakemake.params.grid), quantization)
        write_text(snakemake.output.header, tables_header(tables))
