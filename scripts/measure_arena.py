"""What memory each network's activations need: in TFLite Micro, and in this engine layer by layer and streamed.

Inputs: the .tflite files, in the order of params.names. Output: evidence book. Method: TFLite Micro runs one
inference and prints what it has allocated; the engine's memory plans are computed, nothing is built.
"""

from paper2board.convert.arena import arena_book
from paper2board.evidence import write_book
from paper2board.scripting import running

if __name__ == "__main__":
    with running(snakemake) as log:
        book = {}
        for name, path in zip(snakemake.params.names, snakemake.input.tflite, strict=True):
            book |= arena_book(name, path)
        write_book(snakemake.output.book, book)
        log(", ".join(f"{metric}: {item.value:,} B" for metric, item in book.items()))
