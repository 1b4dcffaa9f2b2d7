"""Detection rates and average precision of the device's detector under controlled perturbations.

Inputs: test scenes, the C engine's host library, the integer model. Output: metrics file. Method: the scenes are
perturbed (``paper2board/acquire/perturbations.py``), the C engine runs them, boxes come from the integer decoding
and NMS that the device runs. Score thresholds are cross-fitted on the unchanged scenes: each half of the scenes
gets that of the best F1 on the other half, whatever the perturbation.
"""

from tqdm import tqdm

from paper2board.acquire.examples import load_examples
from paper2board.core.evidence import write_metrics
from paper2board.core.files import digest
from paper2board.core.scripting import running, snakemake
from paper2board.evaluate.outputs import integer_layout
from paper2board.evaluate.scenarios import scenarios
from paper2board.firmware.host import HostModel
from paper2board.model.file import read
from paper2board.tasks.scenes import required_scenes

if __name__ == "__main__":
    with running(snakemake) as log:
        params, files = snakemake.params, snakemake.input
        metrics = scenarios(
            HostModel(files.library).run,
            integer_layout(read(files.model)),
            required_scenes(load_examples(files.data, params.limit)),
            tqdm(params.scenarios, desc="scenarios", disable=None),
            params.seed,
            {"model": digest(files.model), "library": digest(files.library)},
            str(files.library),
        )
        write_metrics(snakemake.output.metrics, metrics)
        log(", ".join(f"{name}: {item.value:.1f} %" for name, item in metrics.items()))
