"""The training loop of all tasks: one-cycle SGD, optional distillation, a checkpoint after every epoch.

Everything random in an epoch comes from a generator seeded by (seed, epoch), so training that was killed and
goes on from its last checkpoint takes the same steps as training that was not.

Training that diverges ends at the step where that shows (:class:`TrainingError`). The checkpoint is that of the
epoch before, so no file holds a number that is not finite.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from paper2board.core.errors import UserError
from paper2board.core.files import atomic_path
from paper2board.networks.finite import not_finite
from paper2board.networks.inference import predict
from paper2board.networks.network import Network
from paper2board.networks.spec import Conv, Depthwise
from paper2board.networks.tensors import to_float
from paper2board.study.recipe import Recipe
from paper2board.tasks.augmentation import Transforms, draw_transforms, transform_pixels
from paper2board.tasks.box_labels import BoxLabels
from paper2board.tasks.training import Labels, TrainingTask


@dataclass(frozen=True)
class Images:
    """uint8 N×C×H×W pixels and their labels."""

    pixels: torch.Tensor
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Teacher:
    """What a student learns from beside the labels. ``network`` takes the student's input."""

    network: nn.Module
    temperature: float
    alpha: float


class TrainingError(UserError):
    """Training cannot go on: what is wrong, when it showed, and what to change in the recipe."""


def checkpoint_path(output: str | Path) -> Path:
    """Return where the training that makes ``output`` keeps its checkpoint."""
    return Path("checkpoints") / Path(output).with_suffix(".checkpoint")


def one_cycle(step: int, total: int, warm_up: float) -> float:
    """Return the share of the peak learning rate at ``step`` of ``total``: a line up from a tenth, a line down.

    ``warm_up`` is the share of the steps on the way up (Smith & Topin 2019, without its last phase).
    """
    done = step / total
    return 0.1 + 0.9 * done / warm_up if done < warm_up else (1 - done) / (1 - warm_up)


def batch_sizes(examples: int, size: int, least: int = 1) -> list[int]:
    """Return the sizes of an epoch's batches: ``size``, and the rest in the last one. A rest of fewer than
    ``least`` joins the batch before it."""
    whole, rest = divmod(examples, size)
    if whole and 0 < rest < least:
        return [*[size] * (whole - 1), size + rest]
    return [size] * whole + [rest] * (rest > 0)


def _share(counts: Iterable[tuple[float, float]]) -> float:
    correct, total = (sum(column) for column in zip(*counts, strict=True))
    return correct / max(1, total)


def train(
    network: nn.Module,
    task: TrainingTask,
    training: Images,
    validation: Images,
    recipe: Recipe,
    epochs: int,
    seed: int,
    checkpoint: Path,
    teacher: Teacher | None = None,
    log: Callable[[str], None] = print,
    code: str = "",
) -> pd.DataFrame:
    """Train ``network`` in place for ``task``; return its history, one row an epoch.

    Scores are shares of correct outputs (:meth:`paper2board.tasks.training.TrainingTask.count_correct`), of the
    training images as augmented.

    ``checkpoint`` is written after each epoch and resumed from when it belongs to the same training: same
    network, images, recipe, seed, teacher, threads and ``code`` (digest of the training's program). It is for
    the caller to delete once the result is stored.

    Raise :class:`TrainingError` if a loss, gradient, weight or output is not finite, or if a batch normalisation
    would get one value a channel.
    """
    loop = _Loop(network, task, training, recipe, epochs, seed, teacher)
    identity = _identity(network, training, teacher, [recipe.model_dump(), epochs, seed, code])
    history = loop.descent.resume(checkpoint, identity)
    if history:
        log(f"resuming after epoch {len(history)} of {epochs} from {checkpoint}")
    if len(history) < epochs:
        loop.stored = loop.teacher_outputs()
    for epoch in range(len(history), epochs):
        started = time.perf_counter()
        learning_rate = loop.descent.learning_rate
        loss, share = loop.epoch(epoch)
        outputs = predict(network, validation.pixels)
        loop.descent.check_epoch(outputs)
        row = {
            "epoch": epoch + 1,
            "learning_rate": learning_rate,
            "train_loss": loss,
            "train_score": share,
            "validation_score": _share([task.count_correct(outputs, task.targets(validation.labels))]),
        }
        history.append(row)
        log(
            f"epoch {epoch + 1}/{epochs}: loss {loss:.4f}, train {share:.2%},"
            f" validation {row['validation_score']:.2%}, {time.perf_counter() - started:.1f} s"
        )
        loop.descent.save(checkpoint, identity, history)
    network.eval()
    return pd.DataFrame(history)


def _layer_of_one_pixel(network: nn.Module) -> str | None:
    """Return the first layer of ``network`` whose batch normalisation gets one value a channel from one example, so
    that there is no variance; None if there is none."""
    if not isinstance(network, Network):
        return None
    shapes = network.spec.shapes()
    normalised = (
        layer for layer in network.spec.layers if isinstance(layer, Conv | Depthwise) and layer.batch_norm
    )
    return next((layer.name for layer in normalised if shapes[layer.name][1:] == (1, 1)), None)


class Descent:
    """One-cycle SGD on what of ``network`` is trained, ``epochs`` times over ``examples``, and its checkpoint."""

    def __init__(
        self, network: nn.Module, recipe: Recipe, examples: int, epochs: int, one_pixel: str | None
    ) -> None:
        """``one_pixel``: what has a batch normalisation over one pixel, so that each batch needs two examples.
        Raise :class:`TrainingError` if a batch would have one."""
        self.network, self.recipe, self.epochs = network, recipe, epochs
        least = 1 if one_pixel is None else 2
        self.batch_sizes = batch_sizes(examples, recipe.batch_size, least)
        if min(self.batch_sizes) < least:
            raise TrainingError(
                f"{one_pixel} has batch normalisation over one pixel, which finds no variance in a batch of one"
                " example; take a batch_size above 1 and two training examples at least, or write batch_norm: false"
            )
        self.trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.steps = len(self.batch_sizes) * epochs
        self.optimizer = torch.optim.SGD(
            self.trained,
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.momentum > 0,
        )
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, partial(one_cycle, total=self.steps, warm_up=recipe.warm_up)
        )

    @property
    def learning_rate(self) -> float:
        """That of the next step."""
        return self.optimizer.param_groups[0]["lr"]

    def step(self, loss: torch.Tensor) -> None:
        """Go one step down the gradient of ``loss``; raise :class:`TrainingError` if one of them, or a weight after
        the step, is not finite."""
        step = self.scheduler.last_epoch
        self._require(math.isfinite(loss.item()), f"the loss is {loss.item()}", step, at_start=step == 0)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        gradients = [parameter.grad for parameter in self.trained if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        finite = math.isfinite(norm.item())
        self._require(finite, f"the gradient's norm is {norm.item()}", step, at_start=step == 0)
        if self.recipe.gradient_clip is not None:
            torch.nn.utils.clip_grads_with_norm_(self.trained, self.recipe.gradient_clip, norm)
        self.optimizer.step()
        size = torch.nn.utils.get_total_norm(self.trained).item()
        self._require(math.isfinite(size), f"the weights' norm is {size}", step)
        self.scheduler.step()

    def check_epoch(self, outputs: torch.Tensor) -> None:
        """Raise :class:`TrainingError` if, after an epoch, a weight, a statistic of batch normalisation or one of
        the validation ``outputs`` is not finite."""
        last = self.scheduler.last_epoch - 1
        name = not_finite(self.network.state_dict())
        self._require(name is None, f"{name} is not finite", last)
        finite = bool(torch.isfinite(outputs).all())
        self._require(finite, "an output for the validation images is not finite", last)

    def _require(self, finite: bool, fault: str, step: int, at_start: bool = False) -> None:
        """Raise :class:`TrainingError` with the ``fault``, its place and the remedy unless all is ``finite``."""
        if finite:
            return
        if at_start:
            raise TrainingError(
                f"{fault} before the first step; the weights that it starts from, or its teacher's, are too large:"
                " train those again, at a lower learning_rate"
            )
        epoch, number = divmod(step, len(self.batch_sizes))
        peak = self.recipe.learning_rate
        rate = peak * one_cycle(step, self.steps, self.recipe.warm_up)
        clip = "" if self.recipe.gradient_clip else " or add gradient_clip: 1"
        raise TrainingError(
            f"{fault} in epoch {epoch + 1} of {self.epochs}, step {number + 1} of {len(self.batch_sizes)}, at a"
            f" learning rate of {rate:.3g}; nothing is stored; lower learning_rate from {peak:g} to"
            f" {0.3 * peak:.1g}{clip}"
        )

    def save(self, checkpoint: Path, identity: str, history: list[dict]) -> None:
        """Write the checkpoint, atomically."""
        state = {
            "identity": identity,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "history": history,
        }
        with atomic_path(checkpoint) as temporary:
            torch.save(state, temporary)

    def resume(self, checkpoint: Path, identity: str) -> list[dict]:
        """Load the checkpoint if it is this training's; return its history, or an empty one."""
        if not checkpoint.exists():
            return []
        state = torch.load(checkpoint, weights_only=True)
        if state["identity"] != identity:
            return []
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        return state["history"]


class _Loop:
    def __init__(
        self,
        network: nn.Module,
        task: TrainingTask,
        training: Images,
        recipe: Recipe,
        epochs: int,
        seed: int,
        teacher: Teacher | None,
    ) -> None:
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.training, self.recipe, self.seed, self.teacher = training, recipe, seed, teacher
        self.task = task
        self.stored: torch.Tensor | None = None
        self.descent = Descent(network, recipe, len(training), epochs, _layer_of_one_pixel(network))

    def epoch(self, epoch: int) -> tuple[float, float]:
        """Train one epoch; return the mean loss and the share of correct outputs."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        torch.manual_seed(self.seed * 1_000_003 + epoch)  # what dropout draws from
        order = torch.randperm(len(self.training), generator=generator)
        self.network.train()
        loss_sum, counts = 0.0, []
        for indices in _progress(order.split(self.descent.batch_sizes), f"epoch {epoch + 1}"):
            pixels, labels = self.training.pixels[indices], self.training.labels[indices]
            transforms = draw_transforms(len(indices), self.recipe.crop_padding, self.recipe.flip, generator)
            if self.recipe.crop_padding or self.recipe.flip:
                labels = self.task.transform_labels(labels, transforms, *pixels.shape[2:])
                pixels = transform_pixels(pixels, transforms)
            inputs, targets = to_float(pixels), self.task.targets(labels)
            from_teacher = None if self.teacher is None else self._teacher_output(indices, transforms, inputs)
            loss, output = self._loss(inputs, targets, from_teacher)
            self.descent.step(loss)
            loss_sum += loss.item() * len(indices)
            counts.append(self.task.count_correct(output.detach(), targets))
        return loss_sum / len(self.training), _share(counts)

    def _autocast(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.precision == "bfloat16")

    @torch.no_grad()
    def _run_teacher(self, inputs: torch.Tensor) -> torch.Tensor:
        assert self.teacher is not None
        with self._autocast():
            return self.teacher.network(inputs).float()

    def teacher_outputs(self) -> torch.Tensor | None:
        """Return the teacher's outputs that are computed once for all epochs, views × N × ….

        There is one view, the images as they are, if the task can transform outputs as their images. Else, without
        random crops, the mirror images are a second view. None without a teacher, or if the teacher has to run in
        every epoch.
        """
        transformable = self.task.transform_output is not None
        if self.teacher is None or (self.recipe.crop_padding and not transformable):
            return None
        views = []
        for mirror in (False, True) if self.recipe.flip and not transformable else (False,):
            parts = _progress(self.training.pixels.split(250), "teacher, mirrored" if mirror else "teacher")
            views.append(torch.cat([self._run_teacher(to_float(x.flip(3) if mirror else x)) for x in parts]))
        return torch.stack(views)

    def _teacher_output(
        self, indices: torch.Tensor, transforms: Transforms, inputs: torch.Tensor
    ) -> torch.Tensor:
        """Return the teacher's outputs for ``inputs``: the images at ``indices`` after ``transforms``."""
        if self.stored is None:
            return self._run_teacher(inputs)
        if self.task.transform_output is not None:
            return self.task.transform_output(self.stored[0, indices], transforms)
        return self.stored[transforms.mirrored.squeeze(1).long(), indices]

    def _loss(
        self, inputs: torch.Tensor, targets: Any, teacher_output: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        with self._autocast():
            output = self.network(inputs).float()
        if teacher_output is None or self.teacher is None:
            return self.task.loss(output, targets, self.recipe.label_smoothing), output
        loss = self.task.distillation_loss(
            output,
            teacher_output,
            targets,
            self.teacher.temperature,
            self.teacher.alpha,
            self.recipe.label_smoothing,
        )
        return loss, output


def _identity(network: nn.Module, training: Images, teacher: Teacher | None, settings: list) -> str:
    """Return a digest of all that decides the result, so that no other training's checkpoint is taken."""
    settings = [*settings, str(network), torch.get_num_threads(), torch.__version__]
    digest = hashlib.sha256(json.dumps(settings).encode())
    digest.update(training.pixels.numpy().tobytes())
    labels = training.labels
    for value in labels.tensors() if isinstance(labels, BoxLabels) else (labels,):
        digest.update(value.numpy().tobytes())
    for module in (network, teacher.network) if teacher else (network,):
        for value in module.state_dict().values():
            digest.update(value.contiguous().numpy().tobytes())
    if teacher:
        digest.update(f"{teacher.temperature} {teacher.alpha}".encode())
    return digest.hexdigest()


def _progress(batches: Iterable[torch.Tensor], description: str) -> Iterator[torch.Tensor]:
    return iter(tqdm(batches, description, leave=False, unit="batch", disable=None))  # type: ignore[call-overload]
