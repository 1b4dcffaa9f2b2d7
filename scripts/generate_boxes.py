"""Generate the tables with which the device decodes a network's outputs, in integers.

Input: the IntegerModel. Output: C header. Method: that of the task; a detector's is ``firmware/app/p2b_boxes.h``.
"""

from paper2board.core.files import write_text
from paper2board.core.scripting import running, snakemake
from paper2board.evaluate.outputs import integer_layout
from paper2board.model.file import read
from paper2board.tasks.device import device_task

if __name__ == "__main__":
    with running(snakemake):
        layout = integer_layout(read(snakemake.input.model))
        write_text(snakemake.output.header, device_task(snakemake.params.task).tables_header(layout))
