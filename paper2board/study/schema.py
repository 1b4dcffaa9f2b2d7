"""Study: the typed configuration of one paper's reproduction. A new paper is a new file, not new code.

Parsing imports neither torch nor TensorFlow, so that the Snakefile stays quick.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from paper2board.acquire.datasets.base import Dataset
from paper2board.acquire.datasets.registry import KINDS
from paper2board.core.configuration import load_yaml
from paper2board.core.errors import UserError
from paper2board.core.strict import StrictModel
from paper2board.networks.spec import NetworkSpec
from paper2board.study.engines import ENGINES, EngineName
from paper2board.study.recipe import Budget, Distillation, Name, Recipe
from paper2board.tasks.detection.grid import BOX, Grid
from paper2board.traces.columns import MeasuredTrace

VariantKind = Literal["trained", "transferred", "distilled", "fine-tuned", "pruned", "ssd", "imported"]
Task = Literal["classification", "detection", "centroids"]
"""What a network answers: a class an image, boxes on a grid of cells, or objects' centres among cells (FOMO)."""

Scenario = Literal[
    "unchanged",
    "indoor",
    "outdoor",
    "low-light",
    "small-objects",
    "occlusion-25",
    "occlusion-50",
    "sensor-noise",
]


class Variant(StrictModel):
    """One set of weights: trained from scratch, fine-tuned or pruned from a parent, or brought as a file."""

    network: Name | None = None
    parent: Name | None = None
    recipe: Name | None = None
    distillation: Distillation | None = None
    prune: dict[str, Annotated[float, Field(ge=0, lt=1)]] | None = None
    """Share of the output channels (neurons) to remove, per layer; L1-norm importance."""
    pretrained: Name | None = None
    """A file of config/pretrained whose weights a network starts from, or an SSD's backbone."""
    ssd: Literal["mobilenet-v2"] | None = None
    """torchvision's SSD with this backbone: a detector's teacher; it is not quantized."""
    tflite: str | None = None
    """Path of an int8 .tflite file; nothing is trained then."""
    task: Task | None = None
    """None: the study's."""

    @model_validator(mode="after")
    def _has_one_origin(self) -> "Variant":
        made_of = [
            key for key in (self.network, self.parent, self.distillation, self.prune) if key is not None
        ]
        if self.tflite is not None:
            if made_of or any(key is not None for key in (self.recipe, self.ssd, self.pretrained)):
                raise ValueError("a tflite file comes as it is; remove the variant's other keys")
            return self
        if self.ssd is not None:
            if made_of or None in (self.recipe, self.pretrained):
                raise ValueError("an ssd takes recipe and pretrained (its backbone's weights), nothing else")
            return self
        if self.network is not None and self.parent is not None:
            raise ValueError("has both network and parent; keep one")
        if self.network is None and self.parent is None:
            raise ValueError(
                "says neither network (from scratch), parent (from another variant) nor tflite (a file); add one"
            )
        if self.prune is not None and self.recipe is not None:
            raise ValueError(
                "has both recipe and prune; keep one and put the other into a variant of its own"
            )
        if self.prune is None and self.recipe is None:
            raise ValueError("says neither recipe (to train) nor prune; add one")
        if self.prune is not None and self.parent is None:
            raise ValueError("prune is for a variant with a parent; write parent instead of network")
        if self.distillation is not None and self.recipe is None:
            raise ValueError("distillation is for a variant with a recipe; remove it")
        if self.pretrained is not None and (self.network is None or self.distillation is not None):
            raise ValueError("pretrained weights are for a network trained on labels alone; remove the key")
        return self

    @property
    def kind(self) -> VariantKind:
        """Which rule makes it."""
        if self.tflite is not None:
            return "imported"
        if self.ssd is not None:
            return "ssd"
        if self.prune is not None:
            return "pruned"
        if self.parent is not None:
            return "fine-tuned"
        if self.pretrained is not None:
            return "transferred"
        return "distilled" if self.distillation else "trained"


class Quantization(StrictModel):
    """Which integer models are made of which variants."""

    ptq: tuple[Name, ...] = ()
    """Post-training, per channel."""
    ptq_per_tensor: tuple[Name, ...] = ()
    """Post-training, one scale a tensor."""
    deck_int8: tuple[Name, ...] = ()
    """The deck's scheme: weights and biases per tensor to int8 and back, activations float."""
    qat: tuple[Name, ...] = ()
    """Quantization-aware training, per channel, with ``qat_recipe``."""
    qat_recipe: Name | None = None
    distillation: Distillation | None = None


class DataBudget(StrictModel):
    """How much data and how many seeds a budget uses."""

    training_images: PositiveInt | None = None
    """None: all of them."""
    test_images: PositiveInt | None = None
    """None: all of them."""
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    parity_images: PositiveInt = 1000
    """Test images on which TFLite Micro is compared; the device variant always takes all of them."""
    device_images: Annotated[int, Field(ge=10, le=10_000)] = 100
    """How many test images go through the device."""
    host_inferences: Annotated[int, Field(ge=1000, multiple_of=10)] = 1000

    @model_validator(mode="after")
    def _the_device_takes_test_images(self) -> "DataBudget":
        if self.test_images is not None and self.device_images > self.test_images:
            raise ValueError(
                f"device_images ({self.device_images}) is above test_images ({self.test_images})"
            )
        return self


class CrossValidation(StrictModel):
    """Repeated cross-validation of a transferred classifier's head over all labelled images."""

    variant: Name
    folds: Annotated[int, Field(ge=2, le=20)] = 5
    repeats: Annotated[int, Field(ge=1, le=100)] = 5
    epochs: PositiveInt


class ClaimedLatency(StrictModel):
    """The latency of one inference that the paper's own energy figures start from."""

    value_s: float = Field(gt=0)
    interval_s: tuple[float, float]
    source: str


def _takes_pictures(network: Any) -> Any:
    """Refuse other channels than of colour or grey before the shapes that follow from them puzzle anyone."""
    match network:
        case {"input": [int(first), int(height), int(width)]} if first not in (1, 3):
            right = [width, first, height] if width in (1, 3) else [3, height, width]
            raise ValueError(f"input is channels, height, width: {first} channels; write {right}")
    return network


def _output_layers(network: NetworkSpec) -> list[str]:
    """Return the layers whose widths are the output's: the last one, or what it adds up, joins or flattens."""
    sources, found, waiting = network.sources(), [], [network.layers[-1].name]
    while waiting:
        name = waiting.pop()
        if name in network.widths():
            found.append(name)
        elif name != "input":
            waiting.extend(reversed(sources[name]))
    return found


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


class Study(StrictModel):
    """Everything that one paper's reproduction is made of."""

    title: str
    paper: str | None = None
    """None: no paper, just a network."""
    dataset: Name
    data_note: str | None = None
    """Why the data are not the paper's: said at every table and figure, and no score is judged by the paper's."""
    board: Name
    task: Task = "classification"
    """What the variants answer, unless they say otherwise."""
    claims: Name | None = None
    validation_per_class: PositiveInt
    calibration_images: PositiveInt
    budgets: dict[Budget, DataBudget]
    networks: dict[Name, Annotated[NetworkSpec, BeforeValidator(_takes_pictures)]] = Field(
        default_factory=dict
    )
    recipes: dict[Name, Recipe] = Field(default_factory=dict)
    variants: dict[Name, Variant]
    quantization: Quantization = Quantization()
    magnitude_pruning: dict[Name, tuple[Annotated[float, Field(gt=0, lt=1)], ...]] = Field(
        default_factory=dict
    )
    """Unstructured magnitude pruning for comparison: variant → ratios."""
    device_variant: Name
    """The variant that goes on the board, in its released int8 form."""
    engines: tuple[EngineName, ...] = Field(default=tuple(ENGINES), min_length=1)
    """The engines that run it on the device (:data:`paper2board.study.engines.ENGINES`)."""
    engine: EngineName = "winograd"
    """Whose latency energy and battery life start from."""
    comparisons: dict[Name, tuple[str, str]] = Field(default_factory=dict)
    """Gains to report: name → (before, after), each ``variant.scheme``; schemes as in accuracy metrics."""
    scenarios: tuple[Scenario, ...] = ()
    """Perturbations of the test scenes under which a detector on the device is judged."""
    cross_validation: CrossValidation | None = None
    survey: Name | None = None
    """A file of config/surveys: networks of the literature to count and fit on every board."""
    reduction: tuple[Name, Name] | None = None
    """Parameter reduction to report: (from, to)."""
    claimed_latency: ClaimedLatency | None = None
    period_s: float = Field(gt=0)
    """Duty-cycled operation: one inference per this many seconds."""
    trace: MeasuredTrace | None = None
    """The board's current as an instrument recorded it; None: a synthetic one stands in."""

    @model_validator(mode="after")
    def _names_exist(self) -> "Study":
        def known(kind: str, name: str | None, where: str, among: dict[str, Any]) -> None:
            if name is not None and name not in among:
                raise ValueError(f"{where}: no {kind} called {name}; there are {_listed(among)}")

        for name, variant in self.variants.items():
            where = f"variants.{name}"
            known("network", variant.network, f"{where}.network", self.networks)
            known("variant", variant.parent, f"{where}.parent", self.networked)
            known("recipe", variant.recipe, f"{where}.recipe", self.recipes)
            if variant.distillation:
                known("variant", variant.distillation.teacher, f"{where}.distillation.teacher", self.trained)
        for name, variant in self.networked.items():
            network = self.network_of(name)
            for layer in variant.prune or ():
                known("layer", layer, f"variants.{name}.prune", network.widths())
                if layer in _output_layers(network):
                    each = (
                        "one value a class" if self.task_of(name) == "classification" else "as its task wants"
                    )
                    raise ValueError(
                        f"variants.{name}.prune: {layer} is the output, {each}; prune other layers"
                    )
        for name, recipe in self.recipes.items():
            if missing := [budget for budget in self.budgets if budget not in recipe.epochs]:
                raise ValueError(
                    f"recipes.{name}.epochs lacks {_listed(missing)}, which budgets has; add"
                    f" {'it' if len(missing) == 1 else 'them'}"
                )
        for scheme in ("ptq", "ptq_per_tensor", "deck_int8", "qat"):
            for name in getattr(self.quantization, scheme):
                known("variant", name, f"quantization.{scheme}", self.networked)
        known("recipe", self.quantization.qat_recipe, "quantization.qat_recipe", self.recipes)
        if self.quantization.qat and self.quantization.qat_recipe is None:
            raise ValueError("quantization.qat_recipe is missing, which quantization.qat needs; add it")
        if self.quantization.distillation:
            teacher = self.quantization.distillation.teacher
            known("variant", teacher, "quantization.distillation.teacher", self.trained)
        for name, ratios in self.magnitude_pruning.items():
            known("variant", name, "magnitude_pruning", self.networked)
            if self.task_of(name) == "centroids":
                raise ValueError(f"magnitude_pruning.{name} is a centroids network; choose another variant")
            if any(round(100 * ratio) / 100 != ratio for ratio in ratios):
                raise ValueError(
                    f"magnitude_pruning.{name}: {list(ratios)} are no whole percents; round them"
                )
        for name, sides in self.comparisons.items():
            for side in sides:
                known("accuracy", side, f"comparisons.{name}", self.accuracies())
            tasks = {self.task_of(self.accuracies()[side][0]) for side in sides}
            if len(tasks) > 1 or "centroids" in tasks:
                raise ValueError(
                    f"comparisons.{name}: gains are of two classifiers or two detectors; choose such variants"
                )
        for name in self.reduction or ():
            known("variant", name, "reduction", self.trained)
        known("variant", self.device_variant, "device_variant", self.variants)
        if self.device_variant not in dict(self.released()):
            raise ValueError(
                f"device_variant {self.device_variant} is not an int8 model; list it under quantization.ptq or qat"
            )
        known("engine", self.engine, "engine", dict.fromkeys(self.engines))
        if self.scenarios and self.task_of(self.device_variant) != "detection":
            raise ValueError("scenarios are for a detector; its task is detection")
        if self.cross_validation:
            name = self.cross_validation.variant
            known("variant", name, "cross_validation.variant", self.networked)
            if self.variants[name].pretrained is None or self.task_of(name) != "classification":
                raise ValueError(
                    f"cross_validation.variant: {name} is no classifier with pretrained; choose one"
                )
        for name in self.imported:
            if self.task_of(name) != "classification":
                raise ValueError(
                    f"variants.{name}: a tflite file is taken as a classifier; set its task to that"
                )
        self._teachers_fit()
        return self

    def _teachers_fit(self) -> None:
        for student, teacher in self.distillation_pairs:
            if self.task_of(student) != self.task_of(teacher):
                raise ValueError(
                    f"{teacher} cannot teach {student}: their tasks differ; choose another teacher"
                )
        if self.ssds and not self.ssd_students:
            raise ValueError("an ssd answers on the grid of the study's other detectors; add one")

    @property
    def imported(self) -> dict[str, Variant]:
        """The variants that come as files."""
        return {name: v for name, v in self.variants.items() if v.tflite is not None}

    @property
    def trained(self) -> dict[str, Variant]:
        """The variants that this study makes."""
        return {name: v for name, v in self.variants.items() if v.tflite is None}

    @property
    def networked(self) -> dict[str, Variant]:
        """The variants that are networks in the study format: all that this study makes but an SSD."""
        return {name: v for name, v in self.trained.items() if v.ssd is None}

    @property
    def distillation_pairs(self) -> list[tuple[str, str]]:
        """(student, teacher) of every distillation."""
        pairs = [(name, v.distillation.teacher) for name, v in self.networked.items() if v.distillation]
        if self.quantization.distillation:
            pairs += [(name, self.quantization.distillation.teacher) for name in self.quantization.qat]
        return pairs

    @property
    def ssds(self) -> list[str]:
        """The variants that are SSDs."""
        return [name for name, v in self.variants.items() if v.ssd is not None]

    @property
    def ssd_students(self) -> list[str]:
        """The detectors on whose grids SSDs answer, for scores on the first's: those that an SSD teaches, else the
        one on the device, else the study's first."""
        taught = [student for student, teacher in self.distillation_pairs if teacher in self.ssds]
        detectors = [name for name in self.networked if self.task_of(name) == "detection"]
        return taught or [name for name in detectors if name == self.device_variant] or detectors[:1]

    def task_of(self, variant: str) -> Task:
        """Return what a variant answers: its own task, else that of its parent, else the study's."""
        v = self.variants[variant]
        if v.ssd is not None:
            return "detection"
        if v.task is not None:
            return v.task
        return self.task_of(v.parent) if v.parent else self.task

    def released(self) -> list[tuple[str, str]]:
        """Return (variant, scheme) of every int8 model of the study."""
        names = dict.fromkeys((*self.quantization.ptq, *self.quantization.qat, *self.imported))
        return [(name, self.int8_scheme(name)) for name in names]

    def accuracies(self, task: Task | None = None) -> dict[str, tuple[str, str]]:
        """Return every score to report, of one task or all: ``variant.scheme`` → (variant, how evaluated)."""
        quantization = self.quantization
        result = {f"{name}.fp32": (name, "fp32") for name in self.trained}
        result |= {f"{name}.deck-int8": (name, "deck-int8") for name in quantization.deck_int8}
        result |= {f"{name}.int8-ptq": (name, "ptq") for name in quantization.ptq}
        result |= {
            f"{name}.int8-ptq-per-tensor": (name, "ptq-per-tensor") for name in quantization.ptq_per_tensor
        }
        result |= {f"{name}.int8": (name, scheme) for name, scheme in self.released()}
        return {key: value for key, value in result.items() if task in (None, self.task_of(value[0]))}

    def int8_scheme(self, variant: str) -> str:
        """Return the scheme of a variant's released int8 model: imported, qat where there is one, else ptq."""
        if variant in self.imported:
            return "imported"
        return "qat" if variant in self.quantization.qat else "ptq"

    def network_name(self, name: str) -> str:
        """Return the name of the network that a variant or its first parent has; refuse circular parents."""
        seen = set()
        while (parent := self.variants[name].parent) is not None:
            if name in seen:
                raise ValueError(f"variants.{name}: its parents form a circle; give one of them a network")
            seen.add(name)
            name = parent
        network = self.variants[name].network
        assert network is not None  # Variant's own validator
        return network

    def network_of(self, name: str) -> NetworkSpec:
        """Return the network that a variant starts from, before its own pruning."""
        return self.networks[self.network_name(name)]


class Config(StrictModel):
    """``config/config.yaml``: which studies run and how much work they do."""

    budget: Budget
    studies: tuple[Name, ...] = Field(min_length=1)
    mirror: str | None = None
    training_threads: PositiveInt
    port: str | None = None


_HINTS = {
    "networks.*.input": "channels, height, width, as in [3, 32, 32]",
    "recipes.*.epochs": "epochs are given for each budget: {smoke: 1, standard: 10, full: 60}",
    "variants.*.prune": "a share of the channels for each layer, 0 to 1: {conv1: 0.2} for 20 %",
    "variants.*.prune.*": "a share of the channels, 0 to 1: 0.2 for 20 %",
}
"""What values are that are easily written in another way."""


def load_study(path: str | Path) -> Study:
    """Read and validate a study file."""
    return load_yaml(path, Study, _HINTS)


def check_budget(study: Study, path: str | Path, budget: Budget) -> None:
    """Raise :class:`UserError` if the study at ``path`` does not say how much work ``budget`` is."""
    if budget not in study.budgets:
        raise UserError(
            f"{path}: budgets has no {budget}, which config.yaml asks for; there are {_listed(study.budgets)}; "
            "add it or choose another budget"
        )


def check_classes(study: Study, path: str | Path, dataset: Dataset) -> None:
    """Raise :class:`UserError` if a network of the study at ``path`` does not answer for the data set's classes."""
    classes = len(dataset.classes)
    wanted: dict[Task, tuple[int, str]] = {
        "classification": (classes, ", one a class"),
        "detection": (BOX + classes + 1, f" a cell: {BOX} of the box, {classes} classes, 1 confidence"),
        "centroids": (1 + classes, f" a cell: background, {classes} classes"),
    }
    for name in study.networked:
        network, task = study.network_of(name), study.task_of(name)
        output, (width, meaning) = network.output, wanted[task]
        dimensions = 1 if task == "classification" else 3
        if output[0] == width and len(output) == dimensions:
            if task != "classification":
                _check_cells(network, f"{path}: networks.{study.network_name(name)}", classes)
            continue
        if len(output) == dimensions:
            remedy = f"correct out of {' or '.join(_output_layers(network)) or 'the last convolution'}"
        elif dimensions == 1:
            remedy = f"end in a flatten and a linear layer with out: {width}"
        else:
            remedy = f"end in a conv with kernel: 1 and out: {width}, without flatten"
        raise UserError(
            f"{path}: networks.{study.network_name(name)}: its output is {' × '.join(map(str, output))},"
            f" but {task} on {dataset.name} needs {width} values{meaning}; {remedy}"
        )


def _check_cells(network: NetworkSpec, where: str, classes: int) -> None:
    """Raise :class:`UserError` if the cells that a network answers for are no :class:`Grid` over its input."""
    _, rows, columns = network.output
    try:
        Grid.of(network.input, (BOX + classes + 1, rows, columns))
    except ValueError as error:
        _, height, width = network.input
        raise UserError(
            f"{where}: its {rows} × {columns} cells, one stride apart both ways, do not just cover an input of"
            f" {height} × {width} pixels; make both sides of the input multiples of its stride"
        ) from error


def check_pictures(study: Study, path: str | Path, dataset: Dataset) -> None:
    """Raise :class:`UserError` if the data set lacks the boxes that a variant of the study at ``path`` learns from,
    or has pictures of another size than an SSD's students."""
    if not dataset.has_boxes:
        kinds = " or ".join(name for name, kind in KINDS.items() if kind.has_boxes)
        for name in study.variants:
            if (task := study.task_of(name)) != "classification":
                raise UserError(
                    f"{path}: variants.{name}: {task} is learned from boxes, but {dataset.name} is of kind"
                    f" {dataset.kind}, which has none; name a data set of kind {kinds}"
                )
        return
    if not study.ssds or dataset.image_px is None:
        return
    width, height = dataset.image_px
    for name in study.ssd_students:
        network = study.network_of(name)
        if network.input != (3, height, width):
            raise UserError(
                f"{path}: networks.{study.network_name(name)}: its input is {list(network.input)}, but an ssd,"
                f" which sees the pictures of {dataset.name} as they are, answers on the grid of {name}; write"
                f" input: {[3, height, width]}"
            )
