"""What composed scenes are drawn from. Parsing imports neither numpy nor Pillow: the Snakefile reads it."""

from pydantic import Field, model_validator

from paper2board.core.strict import StrictModel


class SceneRecipe(StrictModel):
    """What ``cifar-scenes`` are drawn from; every pair is a range, both ends included."""

    objects: tuple[int, int] = (1, 5)
    """Objects asked for in a scene; crowded scenes may end with fewer, never with none."""
    side_px: tuple[int, int] = (20, 72)
    """Side of the scaled CIFAR frame before ``aspect``. Crowded scenes favour the smaller."""
    aspect: tuple[float, float] = (0.85, 1.18)
    """Width over height."""
    occluding_scenes: float = Field(default=0.35, ge=0, le=1)
    """Share of the scenes in which objects may hide each other up to ``hidden``."""
    hidden: float = Field(default=0.5, ge=0, lt=1)
    """Most of an object that others may hide in those scenes; elsewhere 0.05."""
    feather: tuple[float, float] = (0.1, 0.3)
    """Width of the soft border, as a fraction of half the frame."""
    gain: tuple[float, float] = (0.75, 1.25)
    gamma: tuple[float, float] = (0.75, 1.35)
    tint: float = Field(default=0.08, ge=0, lt=1)
    """Each channel's own gain is 1 ± this."""
    decoys: tuple[int, int] = (0, 2)
    noise_dn: tuple[float, float] = (0.0, 4.0)
    """Standard deviation of the noise over the whole scene, in steps of 8 bits."""

    @model_validator(mode="after")
    def _ranges(self) -> "SceneRecipe":
        for name, value in self:
            if isinstance(value, tuple) and not 0 <= value[0] <= value[1]:
                raise ValueError(f"{name} must be two values, 0 or more, the smaller first")
        if self.objects[0] < 1 or self.objects[1] > 100:
            raise ValueError("objects must be 1 … 100")
        if self.side_px[0] < 8:
            raise ValueError("side_px must be 8 or more")
        if not 0.5 <= self.aspect[0] <= self.aspect[1] <= 2:
            raise ValueError("aspect must be 0.5 … 2")
        if not 0 < self.feather[0] <= self.feather[1] <= 1:
            raise ValueError("feather must be above 0, at most 1")
        if self.gamma[0] < 0.1:
            raise ValueError("gamma must be 0.1 or more")
        return self
