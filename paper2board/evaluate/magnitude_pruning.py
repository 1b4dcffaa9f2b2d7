"""What unstructured magnitude pruning does to a network's score and to its file's size."""

import zlib
from pathlib import Path

from paper2board.acquire.examples import Examples
from paper2board.compress.magnitude_pruning import zero_share
from paper2board.core.evidence import Evidence, Kind, counted
from paper2board.core.files import digest
from paper2board.evaluate.logits import read_logits
from paper2board.networks.network import read_weights
from paper2board.tasks.outputs import OutputLayout
from paper2board.tasks.scoring import ScoredNetwork, scoring_task


def magnitude_metrics(
    prefix: str, task: str, weights: str | Path, outputs: str | Path, examples: Examples, seed: int
) -> dict[str, Evidence]:
    """Return ``{prefix}.{score,zero-weights,size,size-compressed}`` of the pruned network at ``weights``.

    The score is the task's main one, of the float32 ``outputs`` for ``examples``.
    """
    network, scoring = read_weights(weights), scoring_task(task)
    layout = OutputLayout(network.spec.input, network.spec.output)
    run = scoring.compare(read_logits(outputs), layout, examples, str(outputs))
    method = "float32 network after magnitude pruning, no fine-tuning"
    scored = ScoredNetwork(prefix, [run], (seed,), method, {"weights": digest(weights)})
    content = Path(weights).read_bytes()
    packed, zeros = len(zlib.compress(content, 9)), 100 * zero_share(network)
    return {
        f"{prefix}.{scoring.score_name}": scoring.score(scored),
        f"{prefix}.zero-weights": counted(zeros, "%", "zeros among convolution weights", Kind.MEASURED),
        f"{prefix}.size": counted(len(content), "B", "safetensors file", Kind.MEASURED),
        f"{prefix}.size-compressed": counted(packed, "B", "safetensors after DEFLATE", Kind.MEASURED),
    }
