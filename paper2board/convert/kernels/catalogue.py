"""The kernels that each back end may choose from for a layer."""

from collections.abc import Callable, Iterator

from paper2board.boards.backends import Backend
from paper2board.convert.kernels import mac16, paper, portable, winograd
from paper2board.convert.kernels.layer import Convolution, FullyConnectedWeights, Packed

_Pack = Callable[..., Packed | None]
_Kernels = tuple[_Pack, ...]

_CONVOLUTIONS: dict[Backend, _Kernels] = {
    Backend.PAPER: (paper.conv2d,),
    Backend.PORTABLE: (portable.conv2d,),
    Backend.MAC16: (mac16.conv2d, portable.conv2d),
    Backend.WINOGRAD_PORTABLE: (winograd.conv2d_portable, portable.conv2d),
    Backend.WINOGRAD_MAC16: (winograd.conv2d_mac16, mac16.conv2d, portable.conv2d),
}
_DEPTHWISE: dict[Backend, _Kernels] = {
    Backend.PAPER: (paper.depthwise_conv2d,),
    Backend.PORTABLE: (portable.depthwise_conv2d,),
    Backend.MAC16: (
        mac16.depthwise_conv2d_3x3,
        mac16.depthwise_conv2d,
        mac16.depthwise_conv2d_rows,
        portable.depthwise_conv2d,
    ),
}
_FULLY_CONNECTED: dict[Backend, _Kernels] = {
    Backend.PAPER: (paper.fully_connected,),
    Backend.PORTABLE: (portable.fully_connected,),
    Backend.MAC16: (mac16.fully_connected, portable.fully_connected),
}
_WITHOUT_WINOGRAD = {Backend.WINOGRAD_PORTABLE: Backend.PORTABLE, Backend.WINOGRAD_MAC16: Backend.MAC16}


def candidates(backend: Backend, layer: Convolution | FullyConnectedWeights) -> Iterator[Packed]:
    """Yield ``layer`` prepared for each kernel of ``backend`` that does it, the most specialised first.

    There is at least one.
    """
    base = _WITHOUT_WINOGRAD.get(backend, backend)
    if isinstance(layer, FullyConnectedWeights):
        packs = _FULLY_CONNECTED[base]
    else:
        packs = _DEPTHWISE[base] if layer.weights.ndim == 3 else _CONVOLUTIONS[backend]
    for pack in packs:
        if packed := pack(layer):
            yield packed
