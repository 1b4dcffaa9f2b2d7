"""What memory each network's activations need: in TFLite Micro, and in this engine layer by layer and streamed.

Inputs: the .tflite files, in the order of params.names. Output: metrics file. Method: TFLite Micro runs one
inference and prints what it has allocated; the engine's memory plans are computed, nothing is built.
"""

from paper2board.core.evidence import write_metrics
from paper2board.core.scripting import running, snakemake
from paper2board.evaluate.arena import arena_metrics

if __name__ == "__main__":
    with running(snakemake) as log:
        metrics = {}
        for name, path in zip(snakemake.params.names, snakemake.input.tflite, strict=True):
            metrics |= arena_metrics(name, path)
        write_metrics(snakemake.output.metrics, metrics)
        log(", ".join(f"{metric}: {item.value:,} B" for metric, item in metrics.items()))
