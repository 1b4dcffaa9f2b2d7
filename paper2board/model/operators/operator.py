"""What every operator of an IntegerModel says about itself."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from paper2board.model.tensor import Activation, Quantization, Tensor, activation_range

if TYPE_CHECKING:
    import torch


class InconsistentError(ValueError):
    """An operator that its tensors do not fit; the message is the reason, without the operator's name."""


def require(condition: bool, what: str) -> None:
    """Raise :class:`InconsistentError` with the reason ``what`` unless ``condition`` holds."""
    if not condition:
        raise InconsistentError(what)


class Op:
    """One operator: a frozen dataclass of its name, the tensors it reads and writes, and its constants.

    Methods get the model's tensors, in which ``inputs`` and ``output`` are indices. The integer model is read by
    short jobs, so torch is imported inside :meth:`simulate` alone.
    """

    type: ClassVar[str]
    """The operator's name in TFLite."""
    INPUTS: ClassVar[tuple[int, int]] = (1, 1)
    """Least and greatest number of tensors that it reads."""
    KEEPS_QUANTIZATION: ClassVar[bool] = False
    """Whether output and inputs have the same scale and zero point."""
    OUTPUT_QUANTIZATION: ClassVar[Quantization | None] = None
    """The output's scale and zero point if TFLite fixes them."""

    name: str
    inputs: tuple[int, ...]
    output: int

    @classmethod
    def types(cls) -> tuple[str, ...]:
        """Return the TFLite names of the operators that this class stands for."""
        return (cls.type,)

    def check(self, tensors: Sequence[Tensor]) -> None:
        """Raise :class:`InconsistentError` if TFLite Micro could not run the operator, or would run it otherwise.

        A subclass calls this first, then adds what it requires itself. The tensors exist, in number too.
        """
        quantization = tensors[self.output].quantization
        if self.KEEPS_QUANTIZATION:
            same = all(tensors[i].quantization == quantization for i in self.inputs)
            require(same, "input and output have different quantization")
        if self.OUTPUT_QUANTIZATION is not None:
            scale, zero_point = self.OUTPUT_QUANTIZATION
            fixed = quantization == self.OUTPUT_QUANTIZATION
            require(fixed, f"output scale is not 1/{1 / scale:g} or zero point not {zero_point}")

    def macs(self, tensors: Sequence[Tensor]) -> int:
        """Return the multiply-accumulates with weights."""
        return 0

    def simulate(self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]) -> "torch.Tensor":
        """Return the output for a batch of ``inputs``, each int64 N × its tensor's shape; exactly TFLite's."""
        raise NotImplementedError(type(self).__name__)

    def same(self, other: "Op", key: str) -> bool:
        """Return whether field ``key`` means the same in another op of this type; reals are float32 in a file."""
        ours, theirs = getattr(self, key), getattr(other, key)
        if isinstance(ours, np.ndarray):
            return np.array_equal(ours, theirs)
        if isinstance(ours, float):
            return bool(np.float32(ours) == np.float32(theirs))
        return ours == theirs


class Stateful(Op):
    """An operator that keeps something from one inference to the next: its last ``STATES`` inputs, which it
    changes.

    A state is a tensor of the model that a :class:`~paper2board.model.integer_model.State` keeps in place; what its
    bytes mean is the operator's affair.
    """

    STATES: ClassVar[int]

    @property
    def states(self) -> tuple[int, ...]:
        """The tensors that it changes."""
        return self.inputs[len(self.inputs) - self.STATES :]

    def advance(
        self, tensors: Sequence[Tensor], inputs: list["torch.Tensor"]
    ) -> tuple["torch.Tensor", list["torch.Tensor"]]:
        """Return the output and the states' next content for ``inputs`` of one inference, each int64 1 × shape."""
        raise NotImplementedError(type(self).__name__)


class Activated(Op):
    """An operator with a fused activation."""

    activation: Activation

    def check(self, tensors: Sequence[Tensor]) -> None:
        super().check(tensors)
        scale = tensors[self.output].scale
        fits = self.activation != "RELU6" or 6.0 / scale < 1 << 30
        require(fits, f"scale {scale} is too small for RELU6")

    def output_range(self, tensors: Sequence[Tensor]) -> tuple[int, int]:
        """Return the lowest and highest int8 output."""
        return activation_range(tensors[self.output], self.activation)

    def clamped(self, tensors: Sequence[Tensor], values: Any) -> Any:
        """Return an array or tensor of outputs clamped to :meth:`output_range`."""
        return values.clip(*self.output_range(tensors))
