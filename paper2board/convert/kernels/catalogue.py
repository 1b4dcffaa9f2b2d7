"""The kernels that each back end may choose from for a layer."""

from collections.abc import Callable, Iterator

from paper2board.boards.backends import Backend
from paper2board.convert.kernels import mac16, paper, portable, winograd
from paper2board.convert.kernels.layer import Convolution, FullyConnectedWeights, Packed

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
