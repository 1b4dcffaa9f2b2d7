"""The detector article's scenario tests as controlled perturbations of scenes.

The article tells of an indoor office, daylight, low light, small objects (under 10 % of the image), occlusion and a
noisy OV2640. None of its images exist, so each scenario here changes one set of scenes in a stated way, and its
detection rate can be compared with the unchanged scenes' one. A :class:`Scenario` is its parameters, in units; its
steps run in the order of a camera: what is in front of it (shrink, occlude), the light, the sensor, the file.
A scene's result depends on the scene, the scenario, the seed and the index alone.

Light is linear (sRGB's curve undone): exposure in EV (a factor of 2 each), the illuminant as a black body in
kelvin (chromaticity after Kim et al., US patent 7024034) relative to 6500 K. The parameters of the three light
scenarios are our choice; the article gives none.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from pydantic import Field

from paper2board.acquire.scenes import Scene, SceneSet, gather
from paper2board.core.errors import UserError
from paper2board.core.strict import StrictModel

_XYZ_TO_RGB = np.array(
    [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
)  # linear sRGB, IEC 61966-2-1
_CODES = np.arange(256) / 255
_LINEAR = np.where(_CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4).astype(np.float32)
"""Linear light, 0 … 1, of each 8-bit code."""


class Sensor(StrictModel):
    """A Bayer sensor with shot and read noise, and its JPEG; the defaults are like an OV2640's.

    Derived from two figures that are commonly quoted from the sensor's datasheet, which we have not seen
    ourselves: signal to noise 40 dB, at full scale shot noise alone, is 10^(40/10) = 10,000 electrons; a
    dynamic range of 50 dB puts the read noise at 10,000 / 10^(50/20) ≈ 32 electrons. The mosaic lies on the
    scene's own pixels; a sensor that bins or scales down from 1600 × 1200 has less noise and blur, so this is
    the pessimistic end.
    """

    full_well_e: float = Field(default=10_000, ge=10, le=1e7)
    """Electrons of a pixel at white, at exposure 0 EV."""
    read_noise_e: float = Field(default=32, ge=0, le=1e5)
    """Standard deviation, in electrons, of each pixel's reading."""
    adc_bits: int = Field(default=10, ge=1, le=16)
    bayer: bool = True
    """Each pixel sees one colour (RG/GB); the others are interpolated from its neighbours (bilinear)."""
    jpeg_quality: int | None = Field(default=80, ge=1, le=100)
    """Pillow's scale, chroma at half resolution; None for no JPEG."""


class Scenario(StrictModel):
    """What happens to a scene; the defaults change nothing."""

    exposure_ev: float = Field(default=0, ge=-12, le=6)
    """Light that reaches the sensor."""
    gain_ev: float = Field(default=0, ge=0, le=12)
    """Amplification after the sensor, noise included: a camera's automatic gain."""
    illuminant_K: float = Field(default=6500, ge=1667, le=25_000)
    """Colour temperature of the light, as far as white balance does not correct it."""
    shadow: float = Field(default=0, ge=0, lt=1)
    """Share of the light that a straight shadow over half the image, in a drawn direction, takes away."""
    max_area: float | None = Field(default=None, gt=0, le=1)
    """Shrinks the scene until no box exceeds this fraction of the image; its surroundings are its own blur."""
    occluded: float = Field(default=0, ge=0, lt=1)
    """Fraction of each box that a flat bar covers, from a drawn side."""
    sensor: Sensor | None = None


SCENARIOS: dict[str, Scenario] = {
    "unchanged": Scenario(),
    "indoor": Scenario(exposure_ev=-1, illuminant_K=4000, sensor=Sensor()),
    "outdoor": Scenario(exposure_ev=0.7, illuminant_K=7500, shadow=0.6, sensor=Sensor()),
    "low_light": Scenario(exposure_ev=-5, gain_ev=3.5, illuminant_K=3500, sensor=Sensor()),
    "small_objects": Scenario(max_area=0.1),
    "occlusion_25": Scenario(occluded=0.25),
    "occlusion_50": Scenario(occluded=0.5),
    "sensor_noise": Scenario(exposure_ev=-2, gain_ev=2, sensor=Sensor()),
}
"""The article's scenarios, and the scenes as they are.

``sensor_noise`` is a quarter of the light amplified back: as bright as before, only noisier. Both occlusions draw
the same sides and colours.
"""


def perturb_set(scenes: SceneSet, name: str, seed: int, scenario: Scenario | None = None) -> SceneSet:
    """Return ``scenes`` under ``scenario`` (default: the one of :data:`SCENARIOS` called ``name``)."""
    if scenario is None:
        if name not in SCENARIOS:
            raise UserError(f"there is no scenario {name!r}; choose among {', '.join(SCENARIOS)}")
        scenario = SCENARIOS[name]
    changed = (perturb(scene, scenario, seed, index) for index, scene in enumerate(scenes))
    return gather(changed, scenes.names, f"{scenes.origin}; scenario {name}")


def perturb(scene: Scene, scenario: Scenario, seed: int, index: int) -> Scene:
    """Return ``scene`` under ``scenario``, drawn by ``seed`` and ``index`` (both 0 or more)."""
    if seed < 0 or index < 0:
        raise UserError(f"seed is {seed} and index is {index}, but neither may be negative")
    rng = np.random.default_rng((seed, index))
    if scenario.max_area is not None:
        scene = shrink(scene, scenario.max_area, rng)
    if scenario.occluded:
        scene = occlude(scene, scenario.occluded, rng)
    sensor = scenario.sensor
    lit = scenario.exposure_ev or scenario.gain_ev or scenario.shadow or scenario.illuminant_K != 6500
    if not lit and sensor is None:
        return scene
    light = _LINEAR[scene.image] * np.float32(2.0**scenario.exposure_ev)
    if scenario.illuminant_K != 6500:
        light *= (illuminant(scenario.illuminant_K) / illuminant(6500)).astype(np.float32)
    if scenario.shadow:
        light *= 1 - np.float32(scenario.shadow) * _half_plane(light.shape[:2], rng)[:, :, None]
    gain = 2.0**scenario.gain_ev
    light = light * np.float32(gain) if sensor is None else expose(light, sensor, gain, rng)
    image = _encode(light)
    if sensor is not None and sensor.jpeg_quality is not None:
        image = through_jpeg(image, sensor.jpeg_quality)
    return Scene(image, scene.boxes, scene.classes, scene.visible)


def shrink(scene: Scene, max_area: float, rng: np.random.Generator) -> Scene:
    """Return ``scene`` made smaller, at a drawn place of its own blur, until no box exceeds ``max_area``.

    ``max_area`` is a fraction of the image. A scene whose boxes already keep to it stays as it is.
    """
    height, width = scene.image.shape[:2]
    sides = scene.boxes[:, 2:].astype(np.float64) - scene.boxes[:, :2]
    largest = float((sides[:, 0] * sides[:, 1]).max(initial=0))
    if largest <= max_area * width * height:
        return scene
    scale = np.sqrt(max_area * width * height / largest)
    inner = max(1, int(width * scale)), max(1, int(height * scale))  # rounded down: never above max_area
    left, top = (int(rng.integers(room + 1)) for room in (width - inner[0], height - inner[1]))
    whole = Image.fromarray(scene.image)
    image = np.array(whole.filter(ImageFilter.GaussianBlur(width / 10)))
    small = whole.resize(inner, Image.Resampling.LANCZOS)
    image[top : top + inner[1], left : left + inner[0]] = np.asarray(small)
    factor = np.array((inner[0] / width, inner[1] / height) * 2)
    boxes = (scene.boxes * factor + (left, top, left, top)).astype(np.float32)
    return Scene(image, boxes, scene.classes, scene.visible)


def occlude(scene: Scene, fraction: float, rng: np.random.Generator) -> Scene:
    """Return ``scene`` with ``fraction`` of each box under a bar of a drawn colour, from a drawn side.

    A bar ends at a whole pixel and may reach over a neighbour's box. ``visible`` is multiplied by the part of
    each box that no bar covers: what the covering did, exact to a pixel.
    """
    image = scene.image.copy()
    covered = np.zeros(image.shape[:2], dtype=bool)
    frames = []
    for x0, y0, x1, y1 in scene.boxes.tolist():
        left, top = min(round(x0), image.shape[1] - 1), min(round(y0), image.shape[0] - 1)
        right, bottom = max(left + 1, round(x1)), max(top + 1, round(y1))
        frames.append((slice(top, bottom), slice(left, right)))
        across, down = round((right - left) * fraction), round((bottom - top) * fraction)
        bar = [
            (slice(top, bottom), slice(left, left + across)),
            (slice(top, bottom), slice(right - across, right)),
            (slice(top, top + down), slice(left, right)),
            (slice(bottom - down, bottom), slice(left, right)),
        ][rng.integers(4)]
        image[bar] = rng.integers(0, 256, 3, dtype=np.uint8)
        covered[bar] = True
    left_over = np.array([1 - covered[frame].mean() for frame in frames], dtype=np.float32)
    return Scene(image, scene.boxes, scene.classes, scene.visible * left_over)


def expose(
    light: NDArray[np.float32], sensor: Sensor, gain: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return what ``sensor`` makes of ``light``, linear (height, width, 3), 1 at its full scale.

    A pixel collects Poisson(light × full_well_e) electrons; reading adds normal noise; ``gain`` (a factor)
    comes before the converter, which clips at 0 and full scale.
    """
    height, width = light.shape[:2]
    channel = np.zeros((height, width), dtype=np.int64)  # RG/GB, as in the OV2640's colour filter layout
    channel[::2, 1::2] = channel[1::2, ::2] = 1
    channel[1::2, 1::2] = 2
    seen = np.take_along_axis(light, channel[:, :, None], axis=2)[:, :, 0] if sensor.bayer else light
    electrons = rng.poisson(np.clip(seen, 0, None).astype(np.float64) * sensor.full_well_e)
    reading = electrons + sensor.read_noise_e * rng.standard_normal(electrons.shape)
    top = 2**sensor.adc_bits - 1
    codes = np.rint(np.clip(reading * (gain / sensor.full_well_e), 0, 1) * top)
    values = (codes / top).astype(np.float32)
    return _demosaic(values, channel) if sensor.bayer else values


def _demosaic(values: NDArray[np.float32], channel: NDArray[np.int64]) -> NDArray[np.float32]:
    """Interpolate the colours of a mosaic: a weighted mean (1 2 1 each way) of the pixels that have one."""
    planes = []
    for colour in range(3):
        known = (channel == colour).astype(np.float32)
        mean = _binomial(values * known) / _binomial(known)
        planes.append(np.where(known > 0, values, mean))
    return np.stack(planes, axis=2)


def _binomial(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    padded = np.pad(plane, 1)
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    return rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]


def illuminant(kelvin: float) -> NDArray[np.float64]:
    """Return a black body's colour, linear sRGB (3,), green 1, for 1667 … 25,000 K (negative parts are 0)."""
    t = 1000 / kelvin
    if kelvin <= 4000:
        x = -0.2661239 * t**3 - 0.2343589 * t**2 + 0.8776956 * t + 0.179910
    else:
        x = -3.0258469 * t**3 + 2.1070379 * t**2 + 0.2226347 * t + 0.240390
    if kelvin <= 2222:
        y = -1.1063814 * x**3 - 1.34811020 * x**2 + 2.18555832 * x - 0.20219683
    elif kelvin <= 4000:
        y = -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    else:
        y = 3.0817580 * x**3 - 5.87338670 * x**2 + 3.75112997 * x - 0.37001483
    rgb = np.clip(_XYZ_TO_RGB @ np.array([x / y, 1, (1 - x - y) / y]), 0, None)
    return rgb / rgb[1]


def through_jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Return ``image`` (height, width, 3) as it comes back from a JPEG of ``quality`` with 4:2:0 chroma."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality, subsampling=2)
    return np.array(Image.open(stream, formats=("JPEG",)))


def _half_plane(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return 1 on one side of a line through the image's middle, 0 on the other, over a few soft pixels."""
    angle = rng.uniform(0, 2 * np.pi)
    down = np.arange(shape[0], dtype=np.float32)[:, None] - (shape[0] - 1) / 2
    across = np.arange(shape[1], dtype=np.float32)[None] - (shape[1] - 1) / 2
    distance = np.float32(np.cos(angle)) * across + np.float32(np.sin(angle)) * down
    return np.clip(distance / 4 + np.float32(0.5), 0, 1).astype(np.float32)


def _encode(light: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return linear light as sRGB's 8-bit codes, clipped."""
    clipped = np.clip(light, 0, 1)
    codes = np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** np.float32(1 / 2.4) - 0.055)
    return np.rint(codes * 255).astype(np.uint8)
