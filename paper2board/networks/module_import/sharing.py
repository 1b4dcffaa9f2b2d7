"""Which tensors are the same memory: the same parameter, or views of one."""

from torch import nn

Span = tuple[int, int]
"""First byte, and the one after the last."""


def spans(module: nn.Module) -> dict[int, Span]:
    """Return where each parameter and buffer lies, by its id."""
    return {
        id(tensor): (
            tensor.data_ptr(),
            tensor.data_ptr()
            + tensor.element_size()
            * (1 + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))),
        )
        for tensor in (*module.parameters(), *module.buffers())
        if tensor.numel()
    }


def overlap(one: Span, other: Span) -> bool:
    """Whether two tensors have an element in common (or lie in one another's gaps)."""
    return one[0] < other[1] and other[0] < one[1]
