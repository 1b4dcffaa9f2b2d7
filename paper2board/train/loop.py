"""The training loop: one-cycle SGD, optional distillation, a checkpoint after every epoch.

Everything random in an epoch comes from a generator seeded by (seed, epoch), so training that was killed and
goes on from its last checkpoint takes the same steps as training that was not.
"""

import ctypes
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import nn
from tqdm import tqdm

from paper2board.files import atomic_path
from paper2board.train.data import augment, to_float
from paper2board.train.recipe import Recipe


@dataclass(frozen=True)
class Images:
    """uint8 N×C×H×W pixels and int64 labels."""

    pixels: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Teacher:
    """What a student learns from beside the labels."""

    network: nn.Module
    temperature: float
    alpha: float


def configure(threads: int) -> None:
    """Fix torch's thread count and determinism, and keep freed memory with the allocator.

    The last halves the time of small networks: without it glibc maps and unmaps every activation.
    """
    torch.set_num_threads(max(1, min(threads, os.cpu_count() or 1)))
    torch.use_deterministic_algorithms(True)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        mmap_max, trim_threshold = -4, -1  # M_MMAP_MAX and M_TRIM_THRESHOLD of malloc.h
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)


def checkpoint_path(output: str | Path) -> Path:
    """Return where the training that makes ``output`` keeps its checkpoint."""
    return Path("checkpoints") / Path(output).with_suffix(".checkpoint")


def one_cycle(step: int, total: int, warm_up: float) -> float:
    """Return the share of the peak learning rate at ``step`` of ``total``: a line up from a tenth, a line down.

    ``warm_up`` is the share of the steps on the way up (Smith & Topin 2019, without its last phase).
    """
    done = step / total
    return 0.1 + 0.9 * done / warm_up if done < warm_up else (1 - done) / (1 - warm_up)


def distillation_loss(
    student: torch.Tensor,
    teacher: torch.Tensor,
    labels: torch.Tensor,
    temperature: float,
    alpha: float,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Hinton's loss over N×classes logits: ``alpha · T² · KL(teacher ‖ student) + (1 − alpha) · CE``.

    T² keeps the soft part's gradient at the same size whatever the temperature; the detector paper omits it.
    """
    soft = F.kl_div(
        F.log_softmax(student / temperature, dim=1),
        F.log_softmax(teacher / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    hard = F.cross_entropy(student, labels, label_smoothing=label_smoothing)
    return alpha * temperature**2 * soft + (1 - alpha) * hard


@torch.inference_mode()
def predict(network: nn.Module, pixels: torch.Tensor, batch: int = 500) -> torch.Tensor:
    """Return the float32 logits of uint8 N×C×H×W pixels."""
    network.eval()
    return torch.cat([network(to_float(part)) for part in pixels.split(batch)])


def accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the share of rows whose largest logit is the label's."""
    return (logits.argmax(1) == labels).float().mean().item()


def train(
    network: nn.Module,
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
    """Train ``network`` in place and return its history, one row an epoch.

    ``checkpoint`` is written after each epoch and resumed from when it belongs to the same training: same
    network, images, recipe, seed, teacher, threads and ``code`` (digest of the training's program). It is for
    the caller to delete once the result is stored.
    """
    loop = _Loop(network, training, recipe, epochs, seed, teacher)
    identity = _identity(network, training, teacher, [recipe.model_dump(), epochs, seed, code])
    history = loop.resume(checkpoint, identity)
    if history:
        log(f"resuming after epoch {len(history)} of {epochs} from {checkpoint}")
    for epoch in range(len(history), epochs):
        started = time.perf_counter()
        learning_rate = loop.optimizer.param_groups[0]["lr"]
        loss, correct = loop.epoch(epoch)
        row = {
            "epoch": epoch + 1,
            "learning_rate": learning_rate,
            "train_loss": loss,
            "train_accuracy": correct,
            "validation_accuracy": accuracy(predict(network, validation.pixels), validation.labels),
        }
        history.append(row)
        log(
            f"epoch {epoch + 1}/{epochs}: loss {loss:.4f}, train {correct:.2%},"
            f" validation {row['validation_accuracy']:.2%}, {time.perf_counter() - started:.1f} s"
        )
        loop.save(checkpoint, identity, history)
    network.eval()
    return pd.DataFrame(history)


class _Loop:
    def __init__(
        self,
        network: nn.Module,
        training: Images,
        recipe: Recipe,
        epochs: int,
        seed: int,
        teacher: Teacher | None,
    ) -> None:
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.training, self.recipe, self.seed, self.teacher = training, recipe, seed, teacher
        self.steps = -(-len(training) // recipe.batch_size)
        self.optimizer = torch.optim.SGD(
            network.parameters(),
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.momentum > 0,
        )
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, partial(one_cycle, total=self.steps * epochs, warm_up=recipe.warm_up)
        )

    def epoch(self, epoch: int) -> tuple[float, float]:
        """Train one epoch; return the mean loss and the share of right answers."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.training), generator=generator)
        self.network.train()
        loss_sum, correct = 0.0, 0
        for indices in _progress(order.split(self.recipe.batch_size), f"epoch {epoch + 1}"):
            pixels, labels = self.training.pixels[indices], self.training.labels[indices]
            if self.recipe.crop_padding or self.recipe.flip:
                pixels = augment(pixels, self.recipe.crop_padding, self.recipe.flip, generator)
            loss, logits = self._loss(to_float(pixels), labels)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            self.scheduler.step()
            loss_sum += loss.item() * len(labels)
            correct += int((logits.argmax(1) == labels).sum())
        return loss_sum / len(self.training), correct / len(self.training)

    def _loss(self, inputs: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        low_precision = self.recipe.precision == "bfloat16"
        with torch.autocast("cpu", torch.bfloat16, enabled=low_precision):
            logits = self.network(inputs).float()
        if self.teacher is None:
            return F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing), logits
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=low_precision):
            targets = self.teacher.network(inputs).float()
        loss = distillation_loss(
            logits,
            targets,
            labels,
            self.teacher.temperature,
            self.teacher.alpha,
            self.recipe.label_smoothing,
        )
        return loss, logits

    def save(self, checkpoint: Path, identity: str, history: list[dict]) -> None:
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


def _identity(network: nn.Module, training: Images, teacher: Teacher | None, settings: list) -> str:
    """Return a digest of all that decides the result, so that no other training's checkpoint is taken."""
    settings = [*settings, str(network), torch.get_num_threads(), torch.__version__]
    digest = hashlib.sha256(json.dumps(settings).encode())
    digest.update(training.pixels.numpy().tobytes())
    digest.update(training.labels.numpy().tobytes())
    for module in (network, teacher.network) if teacher else (network,):
        for value in module.state_dict().values():
            digest.update(value.contiguous().numpy().tobytes())
    if teacher:
        digest.update(f"{teacher.temperature} {teacher.alpha}".encode())
    return digest.hexdigest()


def _progress(batches: Iterable[torch.Tensor], description: str) -> Iterator[torch.Tensor]:
    return iter(tqdm(batches, description, leave=False, unit="batch", disable=None))  # type: ignore[call-overload]
