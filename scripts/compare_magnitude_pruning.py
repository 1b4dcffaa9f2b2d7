"""What unstructured magnitude pruning does to the test score and to file size.

Inputs: test logits and weight files of the pruned networks, test set. Output: metrics file. Method: the main score
of the network's task; share of zeros; bytes of the float32 file as stored and after DEFLATE (level 9).
"""

from paper2board.acquire.examples import load_examples
from paper2board.core.evidence import write_metrics
from paper2board.core.scripting import running, snakemake
from paper2board.evaluate.magnitude_pruning import magnitude_metrics

if __name__ == "__main__":
    with running(snakemake):
        params, files = snakemake.params, snakemake.input
        examples = load_examples(files.data, params.limit)
        metrics = {}
        for name, task, weights, logits in zip(
            params.names, params.tasks, files.weights, files.logits, strict=True
        ):
            prefix = f"magnitude-pruning.{name}"
            metrics |= magnitude_metrics(prefix, task, weights, logits, examples, params.seed)
        write_metrics(snakemake.output.metrics, metrics)
