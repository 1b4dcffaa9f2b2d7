"""Compile the generated C and the engine into a shared library for this host.

Inputs: generated C, firmware sources. Output: libhost.so, which evaluation and ``paper2board classify`` load.
"""

from pathlib import Path

from paper2board.core.scripting import running, snakemake
from paper2board.firmware.host import build_host

if __name__ == "__main__":
    with running(snakemake):
        build_host(Path(snakemake.input.model).parent, Path(snakemake.output.library))
