"""torchvision's SSD on MobileNetV2 (the detector paper's MobileNet-SSD), a teacher of grid detectors.

Liu et al. 2016 with the depthwise heads of Sandler et al. 2018 (SSDLite). At 160×120 the first feature map is
MobileNetV2's last of stride 16 (10×8), the second its last of stride 32 (5×4; the classifier's 1280 channels are
left out). Default boxes are meant for objects of 20 to 75 pixels. Boxes are pixels, (x1, y1, x2, y2).
"""

import copy
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from pydantic import Field, PositiveInt, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from paper2board.core.errors import UserError
from paper2board.core.files import write_bytes
from paper2board.core.strict import StrictModel
from paper2board.networks.finite import require_finite
from paper2board.networks.imagenet import DEVIATION, MEAN
from paper2board.networks.pixels import PIXEL_SCALE
from paper2board.networks.tensors import to_float
from paper2board.networks.torchvision_guard import torchvision
from paper2board.tasks.detection.encoding import encode_to_cells
from paper2board.tasks.detection.grid import Grid

STRIDES = (16, 32)
"""Of the two feature maps."""
LAST_BLOCKS = (13, 17)
"""Their positions in MobileNetV2's ``features``."""
Sides = tuple[tuple[float, float], ...]


class SsdSettings(StrictModel):
    """What decides the network beside its weights."""

    classes: int = Field(default=10, ge=1, le=255)
    """Background not counted."""
    width: PositiveInt = 160
    height: PositiveInt = 120
    boxes_px: tuple[Sides, Sides] = (
        ((20, 20), (28, 28), (40, 40), (56, 56), (34, 23), (23, 34)),
        ((40, 40), (56, 56), (75, 75), (68, 46), (46, 68)),
    )
    """Width and height of each map's default boxes."""
    frozen: int = Field(default=7, ge=4, le=LAST_BLOCKS[0])
    """Number of MobileNetV2's first blocks that keep their ImageNet weights. Their features of the training
    images are held in memory, 19 KB an image at 5 to 7 blocks, 58 KB at 4; twice that with mirror images."""


class _DefaultBoxes(torchvision.models.detection.anchor_utils.DefaultBoxGenerator):
    """torchvision's generator with sides in pixels: its own are shares of the image, whose squares are squares
    on square images only."""

    def __init__(self, settings: SsdSettings) -> None:
        super().__init__([[] for _ in STRIDES], steps=list(STRIDES), clip=False)
        size = torch.tensor([settings.width, settings.height])
        self._wh_pairs = [torch.tensor(sides) / size for sides in settings.boxes_px]

    def num_anchors_per_location(self) -> list[int]:
        return [len(pairs) for pairs in self._wh_pairs]


class _Backbone(nn.Module):
    """MobileNetV2 up to stride 32, in three parts: normalised N×3×H×W → the two feature maps."""

    def __init__(self, frozen: int) -> None:
        super().__init__()
        features = torchvision.models.mobilenet_v2(weights=None).features
        first, second = (last + 1 for last in LAST_BLOCKS)
        self.stem = features[:frozen].requires_grad_(False)
        self.first, self.second = features[frozen:first], features[first:second]
        self.out_channels = [features[last].out_channels for last in LAST_BLOCKS]

    def train(self, mode: bool = True) -> "_Backbone":
        super().train(mode)
        self.stem.eval()
        return self

    def load_imagenet(self, state: dict[str, Tensor]) -> None:
        """Take over MobileNetV2's weights, given by torchvision's names."""
        for part in (self.stem, self.first, self.second):  # their blocks keep the numbers they had
            part.load_state_dict({name: state[f"features.{name}"] for name in part.state_dict()})

    def after_stem(self, x: Tensor) -> list[Tensor]:
        first = self.first(x)
        return [first, self.second(first)]

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {str(index): value for index, value in enumerate(self.after_stem(self.stem(x)))}


class SsdDetector(nn.Module):
    """torchvision's SSD for one size of image.

    Its own ``forward`` takes N×3×H×W (:func:`paper2board.networks.tensors.to_float`) and gives the raw
    outputs for A default boxes: ``bbox_regression`` N×A×4 and ``cls_logits`` N×A×(1 + classes), background
    first. torchvision's SSD.forward is not used: its last step needs an operator that is not compiled
    everywhere (see :mod:`paper2board.networks.torchvision_guard`).
    """

    default_boxes: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(self, settings: SsdSettings, pretrained: dict[str, Tensor] | None = None) -> None:
        """``pretrained``: MobileNetV2's ImageNet weights, see :mod:`paper2board.train.pretrained`. Raise
        :class:`UserError` if they are other weights."""
        super().__init__()
        detection = torchvision.models.detection
        self.settings = settings
        backbone, generator = _Backbone(settings.frozen), _DefaultBoxes(settings)
        if pretrained is not None:
            try:
                backbone.load_imagenet(pretrained)
            except (KeyError, RuntimeError) as error:
                raise UserError(
                    f"the pretrained weights are not MobileNetV2's of width 1 ({' '.join(str(error).split())}); "
                    "delete their file in data/pretrained and run again"
                ) from error
        sides = generator.num_anchors_per_location()
        norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)  # SSDLite's
        self.ssd = detection.ssd.SSD(
            backbone,
            generator,
            (settings.width, settings.height),
            settings.classes + 1,
            head=detection.ssdlite.SSDLiteHead(backbone.out_channels, sides, settings.classes + 1, norm),
        )
        self.register_buffer("default_boxes", self._default_boxes(), persistent=False)
        self.register_buffer("scale", torch.tensor(DEVIATION)[:, None, None] * 255, persistent=False)
        self.register_buffer("shift", torch.tensor(MEAN)[:, None, None] * 255, persistent=False)

    def _default_boxes(self) -> Tensor:
        size = (self.settings.height, self.settings.width)
        maps = [torch.empty(1, 1, *(-(-side // stride) for side in size)) for stride in STRIDES]
        images = torchvision.models.detection.image_list.ImageList(torch.empty(1, 3, *size), [size])
        return self.ssd.anchor_generator(images, maps)[0]

    def stem(self, x: Tensor) -> Tensor:
        """Return the frozen blocks' features of N×3×H×W images (:func:`paper2board.networks.tensors.to_float`)."""
        return self.ssd.backbone.stem((x / PIXEL_SCALE + 128 - self.shift) / self.scale)

    def after_stem(self, features: Tensor) -> dict[str, Tensor]:
        """Return the raw outputs for features of :meth:`stem`."""
        return self.ssd.head(self.ssd.backbone.after_stem(features))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return self.after_stem(self.stem(x))

    def losses(self, pixels: Tensor, boxes: Sequence[Tensor], labels: Sequence[Tensor]) -> Tensor:
        """Return SSD's loss (a scalar) of uint8 N×3×H×W images with float M×4 boxes and int64 M labels each."""
        return self.loss(self(to_float(pixels)), boxes, labels)

    def loss(self, raw: dict[str, Tensor], boxes: Sequence[Tensor], labels: Sequence[Tensor]) -> Tensor:
        """Return SSD's loss of raw outputs: smooth L1 and cross entropy, three negatives for a positive."""
        raw = {name: value.float() for name, value in raw.items()}
        anchors = [self.default_boxes] * len(boxes)
        targets = [{"boxes": b, "labels": n + 1} for b, n in zip(boxes, labels, strict=True)]
        parts = self.ssd.compute_loss(targets, raw, anchors, [self._match(b) for b in boxes])
        return parts["bbox_regression"] + parts["classification"]

    def _match(self, boxes: Tensor) -> Tensor:
        """Return for each default box the true box it is trained for, or a negative number."""
        if not len(boxes):
            return torch.full((len(self.default_boxes),), -1)
        overlaps = torchvision.ops.box_iou(boxes, self.default_boxes)
        return self.ssd.proposal_matcher(overlaps)

    def decode(self, raw: dict[str, Tensor]) -> Tensor:
        """Return the boxes N×A×4, pixels, of raw outputs; not cut at the image's edge."""
        offsets = raw["bbox_regression"].float()
        found = [self.ssd.box_coder.decode_single(each, self.default_boxes) for each in offsets]
        return torch.stack(found)

    def as_grid(self, grid: Grid) -> "SsdGrid":
        """Return this detector with a grid detector's input and output; it shares the weights. Raise
        :class:`ValueError` if the grid is of another image size or number of classes."""
        return SsdGrid(self, grid)


class SsdGrid(nn.Module):
    """An SSD with a grid detector's output (:mod:`paper2board.tasks.detection.encoding`): N×3×H×W →
    N×channels×rows×columns.

    A cell encodes the most confident default box whose decoded centre lies in it: its box; the classes'
    log-probabilities without background, the largest at most ``logit_range``; as confidence the logit of
    1 − p(background). So a score decoded from it is SSD's own p(class). A cell without such a box has confidence
    −``logit_range``, and zeros. All is clamped to the range.
    """

    def __init__(self, detector: SsdDetector, grid: Grid) -> None:
        super().__init__()
        settings = detector.settings
        if (grid.width, grid.height, grid.classes) != (settings.width, settings.height, settings.classes):
            raise ValueError(f"the grid is {grid!r}, but the detector was made for {settings!r}")
        self.detector, self.grid = detector, grid

    def forward(self, x: Tensor) -> Tensor:
        return self.to_cells(self.detector(x))

    def to_cells(self, raw: dict[str, Tensor]) -> Tensor:
        """Return the grid's output for raw outputs of the detector."""
        grid = self.grid
        boxes, logits = self.detector.decode(raw), raw["cls_logits"].float()
        centres = (boxes[..., :2] + boxes[..., 2:]) / (2 * grid.stride)
        column, row = centres.floor().unbind(-1)
        inside = (row >= 0) & (row < grid.rows) & (column >= 0) & (column < grid.columns)
        place = torch.where(inside, row * grid.columns + column, -1.0)
        confidence = logits[..., 1:].logsumexp(-1) - logits[..., 0]
        kinds = logits[..., 1:].log_softmax(-1) + grid.logit_range
        objects = torch.cat([boxes, kinds, confidence[..., None]], -1).movedim(-1, 1)
        return encode_to_cells(grid, objects, place, confidence).clamp(-grid.logit_range, grid.logit_range)


def count_parameters(detector: SsdDetector, folded: bool = True) -> int:
    """Return the number of weights and biases, batch normalisation folded (so every convolution has a bias).

    Not ``folded`` counts a scale and a shift a channel instead, as papers print it.
    """
    if not folded:
        return sum(value.numel() for value in detector.parameters())
    convolutions = [module for module in detector.modules() if isinstance(module, nn.Conv2d)]
    return sum(module.weight.numel() + module.out_channels for module in convolutions)


def count_macs(detector: SsdDetector) -> int:
    """Return the multiply-accumulates of the convolutions for one image, padding counted; nothing is run."""
    total = 0

    def count(module: nn.Module, _: tuple, output: Tensor) -> None:
        nonlocal total
        assert isinstance(module, nn.Conv2d)
        total += output.numel() * module.weight[0].numel()

    shell = copy.deepcopy(detector).to("meta").eval()
    for module in shell.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    shell(torch.empty(1, 3, detector.settings.height, detector.settings.width, device="meta"))
    return total


def write_ssd(detector: SsdDetector, path: str | Path) -> None:
    """Write weights and settings as one safetensors file, atomically; raise :class:`UserError` if a weight is not
    finite."""
    state = {name: value.contiguous() for name, value in detector.state_dict().items()}
    require_finite(state, path, "it is not written; train the detector again at a lower learning rate")
    write_bytes(path, save(state, metadata={"ssd": detector.settings.model_dump_json()}))


def is_ssd(path: str | Path) -> bool:
    """Return whether a file is one that :func:`write_ssd` wrote."""
    try:
        with safe_open(path, framework="pt") as stream:
            return "ssd" in (stream.metadata() or {})
    except (OSError, SafetensorError):
        return False


def read_ssd(path: str | Path) -> SsdDetector:
    """Read a detector written by :func:`write_ssd`, in evaluation mode; raise :class:`UserError` if the file is
    none, or if a weight is not finite."""
    try:
        with safe_open(path, framework="pt") as stream:
            settings = SsdSettings.model_validate_json((stream.metadata() or {})["ssd"])
            state = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (not a dict)
        detector = SsdDetector(settings)
        detector.load_state_dict(state)
    except (OSError, SafetensorError, KeyError, RuntimeError, ValidationError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} holds no SSD detector ({reason}); delete it and run again") from error
    require_finite(state, path, "delete it, and run again at a lower learning rate")
    return detector.eval()
