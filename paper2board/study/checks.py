"""Whether a study fits its budget and its data set: what the study file alone does not show."""

from pathlib import Path

from paper2board.acquire.datasets.base import Dataset
from paper2board.acquire.datasets.registry import KINDS
from paper2board.core.errors import UserError
from paper2board.study.recipe import Budget
from paper2board.study.schema import Study, listed, output_layers
from paper2board.tasks.registry import TASKS


def check_budget(study: Study, path: str | Path, budget: Budget) -> None:
    """Raise :class:`UserError` if the study at ``path`` does not say how much work ``budget`` is."""
    if budget not in study.budgets:
        raise UserError(
            f"{path}: budgets has no {budget}, which this run asks for; there are {listed(study.budgets)}; "
            "add it or choose another budget"
        )


def check_outputs(study: Study, path: str | Path, dataset: Dataset) -> None:
    """Raise :class:`UserError` if a network of the study at ``path`` has another output than its task needs."""
    for name in study.networked:
        network, task = study.network_of(name), TASKS[study.task_of(name)]
        output, required = network.output, task.required_output(dataset)
        where = f"{path}: networks.{study.network_name(name)}"
        if (output[0], len(output)) == (required.width, required.rank):
            if fault := task.shape_fault(network.input, output):
                raise UserError(f"{where}: {fault}")
            continue
        if len(output) == required.rank:
            remedy = f"correct out of {' or '.join(output_layers(network)) or 'the last convolution'}"
        elif required.rank == 1:
            remedy = f"end in a flatten and a linear layer with out: {required.width}"
        else:
            remedy = f"end in a conv with kernel: 1 and out: {required.width}, without flatten"
        raise UserError(
            f"{where}: its output is {' × '.join(map(str, output))}, but {task.name} on {dataset.name} needs"
            f" {required.width} value{'s' if required.width > 1 else ''}{required.meaning}; {remedy}"
        )


def check_labels(study: Study, path: str | Path, dataset: Dataset) -> None:
    """Raise :class:`UserError` if the data set lacks the labels that a variant of the study at ``path`` learns
    from."""
    for name in study.variants:
        task = TASKS[study.task_of(name)]
        if task.learns_from not in dataset.labels:
            kinds = " or ".join(name for name, kind in KINDS.items() if task.learns_from in kind.labels)
            raise UserError(
                f"{path}: variants.{name}: {task.name} is learned from {task.learns_from}, but {dataset.name} is of"
                f" kind {dataset.kind}, which has none; name a data set of kind {kinds}"
            )


def check_inputs(study: Study, path: str | Path, dataset: Dataset) -> None:
    """Raise :class:`UserError` if examples that are no images do not fit a network's input, or if a recipe of the
    study at ``path`` augments them as if they were images."""
    if dataset.input_shape is None:
        return
    wanted = list(dataset.input_shape)
    for name in study.networked:
        if (network := study.network_of(name)).input != dataset.input_shape:
            raise UserError(
                f"{path}: networks.{study.network_name(name)}: its input is {list(network.input)}, but the examples"
                f" of {dataset.name} are no images that can be resized; write input: {wanted}"
            )
    for name, recipe in study.recipes.items():
        if recipe.crop_padding or recipe.flip:
            raise UserError(
                f"{path}: recipes.{name}: crops and flips are for images, which the examples of {dataset.name} are"
                " not; write crop_padding: 0 and flip: false"
            )


def check_images(study: Study, path: str | Path, dataset: Dataset) -> None:
    """Raise :class:`UserError` if the data set's images are of another size than an SSD's students' inputs."""
    if not study.ssds or dataset.image_px is None:
        return
    width, height = dataset.image_px
    for name in study.ssd_students:
        network = study.network_of(name)
        if network.input != (3, height, width):
            raise UserError(
                f"{path}: networks.{study.network_name(name)}: its input is {list(network.input)}, but an ssd takes"
                f" the images of {dataset.name} as they are and has the output grid of {name}; write input:"
                f" {[3, height, width]}"
            )
