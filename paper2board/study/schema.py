"""Study: the typed configuration of one paper's reproduction. A new paper is a new file, not new code.

Parsing imports neither torch nor TensorFlow, so that the Snakefile stays quick.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from paper2board.core.configuration import load_yaml
from paper2board.core.strict import StrictModel
from paper2board.networks.spec import NetworkSpec
from paper2board.study.engines import ENGINES, EngineName
from paper2board.study.recipe import Budget, Distillation, Name, Recipe
from paper2board.study.schemes import (
    CHOSEN,
    IMPORTED,
    RELEASED,
    SCHEMES,
    UNQUANTIZED,
    ChosenScheme,
    Maker,
    schemes_of,
)
from paper2board.study.variant import Variant
from paper2board.tasks.classification.task import CLASSIFICATION
from paper2board.tasks.detection.task import DETECTION
from paper2board.tasks.protocol import Task
from paper2board.tasks.registry import TASKS, TaskName
from paper2board.traces.columns import MeasuredTrace

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


class Quantization(StrictModel):
    """Which variants are quantized, and how."""

    schemes: dict[ChosenScheme, tuple[Name, ...]] = Field(default={})
    """Scheme → the variants quantized under it; :mod:`paper2board.study.schemes` says what each is."""
    qat_recipe: Name | None = None
    """The recipe of quantization-aware training."""
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


def _takes_images(network: Any) -> Any:
    """Refuse other channels than of colour or grey before the shapes that follow from them puzzle anyone."""
    match network:
        case {"input": [int(first), int(height), int(width)]} if first not in (1, 3):
            right = [width, first, height] if width in (1, 3) else [3, height, width]
            raise ValueError(f"input is channels, height, width: {first} channels; write {right}")
    return network


def output_layers(network: NetworkSpec) -> list[str]:
    """Return the layers whose widths are the output's: the last one, or what it adds up, joins or flattens."""
    sources, found, waiting = network.sources(), [], [network.layers[-1].name]
    while waiting:
        name = waiting.pop()
        if name in network.widths():
            found.append(name)
        elif name != "input":
            waiting.extend(reversed(sources[name]))
    return found


def listed(names: Iterable[str]) -> str:
    """Return names for a sentence."""
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
    task: TaskName = CLASSIFICATION.name
    """The task of the variants that name none."""
    claims: Name | None = None
    validation_per_class: PositiveInt
    """Examples of each class, drawn from the training data; all the rows of a table are of one class."""
    calibration_images: PositiveInt
    budgets: dict[Budget, DataBudget]
    networks: dict[Name, Annotated[NetworkSpec, BeforeValidator(_takes_images)]] = Field(default_factory=dict)
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
    """Perturbations of the test scenes under which the network on the device is scored."""
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
                raise ValueError(f"{where}: no {kind} called {name}; there are {listed(among)}")

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
                if layer in output_layers(network):
                    raise ValueError(
                        f"variants.{name}.prune: {layer} is the output, whose width its task sets; prune other"
                        " layers"
                    )
        for name, recipe in self.recipes.items():
            if missing := [budget for budget in self.budgets if budget not in recipe.epochs]:
                raise ValueError(
                    f"recipes.{name}.epochs lacks {listed(missing)}, which budgets has; add"
                    f" {'it' if len(missing) == 1 else 'them'}"
                )
        for scheme, names in self.quantization.schemes.items():
            for name in names:
                known("variant", name, f"quantization.schemes.{scheme}", self.networked)
        known("recipe", self.quantization.qat_recipe, "quantization.qat_recipe", self.recipes)
        aware = self.models_by("train_quantization_aware")
        if aware and self.quantization.qat_recipe is None:
            raise ValueError(
                f"quantization.qat_recipe is missing, which quantization.schemes.{aware[0][1]} needs; add it"
            )
        if self.quantization.distillation:
            teacher = self.quantization.distillation.teacher
            known("variant", teacher, "quantization.distillation.teacher", self.trained)
        for name, ratios in self.magnitude_pruning.items():
            known("variant", name, "magnitude_pruning", self.networked)
            if any(round(100 * ratio) / 100 != ratio for ratio in ratios):
                raise ValueError(
                    f"magnitude_pruning.{name}: {list(ratios)} are no whole percents; round them"
                )
        for name, sides in self.comparisons.items():
            for side in sides:
                known("score", side, f"comparisons.{name}", self.scores())
            tasks = {self.task_of(self.scores()[side][0]) for side in sides}
            if len(tasks) > 1 or not all(TASKS[task].compared for task in tasks):
                compared = listed(task.name for task in TASKS.values() if task.compared)
                raise ValueError(
                    f"comparisons.{name}: gains are of two variants of one task, of {compared}; choose such"
                    " variants"
                )
        for name in self.reduction or ():
            known("variant", name, "reduction", self.trained)
        known("variant", self.device_variant, "device_variant", self.variants)
        if self.device_variant not in dict(self.released()):
            released = [name for name in CHOSEN if SCHEMES[name].release != "never"]
            raise ValueError(
                f"device_variant {self.device_variant} is not an int8 model; list it in quantization.schemes under"
                f" {' or '.join(released)}"
            )
        known("engine", self.engine, "engine", dict.fromkeys(self.engines))
        if self.scenarios and not TASKS[self.task_of(self.device_variant)].perturbed:
            perturbed = listed(task.name for task in TASKS.values() if task.perturbed)
            raise ValueError(
                f"scenarios are for a device_variant of task {perturbed}; {self.device_variant} has another, remove"
                " them or choose another variant"
            )
        if self.cross_validation:
            name = self.cross_validation.variant
            known("variant", name, "cross_validation.variant", self.networked)
            if self.variants[name].pretrained is None or not TASKS[self.task_of(name)].cross_validated:
                raise ValueError(
                    f"cross_validation.variant: {name} is no classifier with pretrained; choose one"
                )
        for name in self.imported:
            if not TASKS[self.task_of(name)].imported:
                known_tasks = listed(task.name for task in TASKS.values() if task.imported)
                raise ValueError(
                    f"variants.{name}: a tflite file is no network for {self.task_of(name)}; set its task to"
                    f" {known_tasks}"
                )
        self._teachers_fit()
        return self

    def _teachers_fit(self) -> None:
        for student, teacher in self.distillation_pairs:
            if self.task_of(student) != self.task_of(teacher):
                raise ValueError(
                    f"{teacher} cannot be the teacher of {student}: their tasks differ; choose another teacher"
                )
        if self.ssds and not self.ssd_students:
            raise ValueError("an ssd's output is on the grid of the study's other detectors; add one")

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
            teacher = self.quantization.distillation.teacher
            pairs += [(name, teacher) for name, _ in self.models_by("train_quantization_aware")]
        return pairs

    @property
    def ssds(self) -> list[str]:
        """The variants that are SSDs."""
        return [name for name, v in self.variants.items() if v.ssd is not None]

    @property
    def ssd_students(self) -> list[str]:
        """The detectors whose grids SSDs' outputs are on: the SSDs' students, else the detector on the device, else
        the study's first. SSDs are scored on the grid of the first of them."""
        students = [student for student, teacher in self.distillation_pairs if teacher in self.ssds]
        detectors = [name for name in self.networked if self.task_of(name) == DETECTION.name]
        return students or [name for name in detectors if name == self.device_variant] or detectors[:1]

    def task_of(self, variant: str) -> str:
        """Return the name of a variant's task: its own, else that of its parent, else the study's."""
        v = self.variants[variant]
        if v.ssd is not None:
            return DETECTION.name
        if v.task is not None:
            return v.task
        return self.task_of(v.parent) if v.parent else self.task

    def variants_under(self, scheme: str) -> Iterable[str]:
        """Return the variants that are evaluated under a quantization scheme."""
        if scheme == UNQUANTIZED:
            return self.trained
        return self.imported if scheme == IMPORTED else self.quantization.schemes.get(scheme, ())

    def models_by(self, maker: Maker) -> list[tuple[str, str]]:
        """Return (variant, scheme) of every network that a rule makes for a scheme."""
        return [(name, scheme) for scheme in schemes_of(maker) for name in self.variants_under(scheme)]

    def released(self) -> list[tuple[str, str]]:
        """Return (variant, scheme) of every int8 model of the study."""
        schemes: dict[str, str] = {}
        for release in ("otherwise", "always"):
            for scheme in SCHEMES:
                if SCHEMES[scheme].release == release:
                    schemes |= dict.fromkeys(self.variants_under(scheme), scheme)
        return list(schemes.items())

    @property
    def tasks(self) -> dict[str, Task]:
        """The tasks of the study's variants, by name, in the registry's order; that of the device first."""
        names = [self.task_of(self.device_variant), *TASKS]
        used = {self.task_of(name) for name in self.variants}
        return {name: TASKS[name] for name in names if name in used}

    def scores(self, task: str | None = None) -> dict[str, tuple[str, str]]:
        """Return every score to report, of one task or all: ``variant.form`` → (variant, scheme).

        The form is the scheme, or ``int8`` for the released model; one that is always released has no other form.
        """
        result = {
            f"{name}.{scheme}": (name, scheme)
            for scheme in SCHEMES
            if SCHEMES[scheme].release != "always"
            for name in self.variants_under(scheme)
        }
        result |= {f"{name}.{RELEASED}": (name, scheme) for name, scheme in self.released()}
        return {key: value for key, value in result.items() if task in (None, self.task_of(value[0]))}

    def shown(self, task: str) -> str:
        """Return which of :meth:`scores` is shown in detail for a task: that of the device's model if it has this
        task, else the last."""
        if self.task_of(self.device_variant) == task:
            return f"{self.device_variant}.{RELEASED}"
        return list(self.scores(task))[-1]

    def int8_scheme(self, variant: str) -> str:
        """Return the scheme of a variant's released int8 model; raise :class:`KeyError` if it has none."""
        return dict(self.released())[variant]

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
