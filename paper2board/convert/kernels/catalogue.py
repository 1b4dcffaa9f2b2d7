"""Back ends by name, and the kernels that each may choose from for a layer."""

from collections.abc import Callable, Iterator
from enum import StrEnum

from paper2board.convert.kernels import mac16, paper, portable, winograd
from paper2board.convert.kernels.layer import Convolution, FullyConnectedWeights, Packed


class Backend(StrEnum):
    """A set of kernels. ``paper`` is the deck's loops; ``portable`` runs on any 32-bit processor, ``mac16`` on
    an Xtensa with the MAC16 option. The ``winograd-`` ones add Winograd F(4×4, 3×3) to either."""

    PAPER = "paper"
    PORTABLE = "portable"
    MAC16 = "mac16"
    WINOGRAD_PORTABLE = "winograd-portable"
    WINOGRAD_MAC16 = "winograd-mac16"

    @property
    def needs_mac16(self) -> bool:
        """Whether its code runs on a processor with the MAC16 option only."""
        return self in (Backend.MAC16, Backend.WINOGRAD_MAC16)


_Pack = Callable[[Convolution], Packed | None]

_CONVOLUTIONS: dict[Backend, tuple[_Pack, ...]] = {
    Backend.PAPER: (paper.conv2d,),
    Backend.PORTABLE: (portable.conv2d,),
    Backend.MAC16: (mac16.conv2d, portable.conv2d),
    Backend.WINOGRAD_PORTABLE: (winograd.conv2d_portable, portable.conv2d),
    Backend.WINOGRAD_MAC16: (winograd.conv2d_mac16, mac16.conv2d, portable.conv2d),
}
_BASES = {
    Backend.PAPER: (paper,),
    Backend.PORTABLE: (portable,),
    Backend.MAC16: (mac16, portable),
    Backend.WINOGRAD_PORTABLE: (portable,),
    Backend.WINOGRAD_MAC16: (mac16, portable),
}


def candidates(backend: Backend, layer: Convolution | FullyConnectedWeights) -> Iterator[Packed]:
    """Yield ``layer`` prepared for each kernel of ``backend`` that does it, the most specialised first.

    There is at least one.
    """
    packs: tuple[Callable, ...]
    if isinstance(layer, FullyConnectedWeights):
        packs = tuple(module.fully_connected for module in _BASES[backend])
    elif layer.weights.ndim == 3:
        packs = tuple(module.depthwise_conv2d for module in _BASES[backend])
    else:
        packs = _CONVOLUTIONS[backend]
    for pack in packs:
        if packed := pack(layer):
            yield packed
