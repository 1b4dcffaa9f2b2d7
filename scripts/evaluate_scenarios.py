"""Detection rates and average precision of the device's detector under controlled perturbations.

Inputs: test scenes, the C engine's host library, the integer model. Output: metrics file. Method: the scenes are
perturbed (``paper2board/acquire/perturbations.py``), the C engine answers, boxes come from the integer decoding and
NMS that the device runs. Score thresholds are cross-fitted on the unchanged scenes: each half of the scenes gets
that of the best F1 on the other half, whatever the perturbation.
"""

from tqdm import tqdm

from paper2board.acquire.examples import load_examples
from paper2board.acquire.perturbations import perturb_set
from paper2board.acquire.scenes import SceneSet
from paper2board.core.errors import UserError
from paper2board.core.evidence import write_metrics
from paper2board.core.files import digest
from paper2board.core.scripting import running, snakemake
from paper2board.firmware.host import HostModel
from paper2board.model.file import read
from paper2board.networks.pixels import fit_images, to_int8
from paper2board.tasks.detection.boxes import Detections
from paper2board.tasks.detection.grid import Grid
from paper2board.tasks.detection.metrics import device_boxes, scenario_metrics, truths

UNCHANGED = "unchanged"

if __name__ == "__main__":
    with running(snakemake) as log:
        params, files = snakemake.params, snakemake.input
        scenes = load_examples(files.data, params.limit).scenes
        if scenes is None:
            raise UserError(f"{files.data[0]} has no boxes; scenarios need a data set of scenes")
        library, model = HostModel(files.library), read(files.model)
        output = model.tensors[model.output]
        rows, columns, channels = output.shape
        grid = Grid.of(model.image_shape, (channels, rows, columns))

        def detections(perturbed: SceneSet) -> Detections:
            images = to_int8(fit_images(perturbed.images, model.image_shape))
            found = device_boxes(grid, library.run(images), output.scale, output.zero_point, files.library)
            return Detections(found, truths(perturbed, grid), grid.classes, (0.5,))

        chain = {"model": digest(files.model), "library": digest(files.library)}
        plain = detections(scenes)
        scores = plain.fitted_scores()
        metrics = {}
        for name in tqdm(params.scenarios, desc="scenarios", disable=None):
            result = plain
            if name != UNCHANGED:
                result = detections(perturb_set(scenes, name.replace("-", "_"), params.seed))
            method = f"C engine on the host, integer decoding, scenario {name}"
            metrics |= scenario_metrics(result, scores, name, params.seed, method, chain)
            log(f"{name}: {metrics[f'scenario.{name}.detection-rate'].value:.1f} % found")
        write_metrics(snakemake.output.metrics, metrics)
