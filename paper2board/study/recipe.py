"""How networks are trained: recipes and distillation, as configuration."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from paper2board.core.strict import StrictModel

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
Budget = Literal["smoke", "standard", "full"]
Initialisation = Literal["torch", "he"]


class Recipe(StrictModel):
    """How a network is trained: SGD with Nesterov momentum and a one-cycle learning rate."""

    epochs: dict[Budget, Annotated[int, Field(ge=1)]]
    learning_rate: float = Field(gt=0)
    """Peak of the cycle."""
    batch_size: PositiveInt = 128
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    warm_up: float = Field(default=0.2, ge=0, lt=1)
    """Share of the steps during which the learning rate rises."""
    gradient_clip: float | None = Field(default=None, gt=0)
    """Largest norm of the gradient over all weights together; a longer one is shortened to it. None: as it is."""
    initialisation: Initialisation = "torch"
    """Weights that training from scratch starts from: PyTorch's own, or He et al. 2015's, under which signals keep
    their size through many layers without batch normalisation."""
    crop_padding: int = Field(default=4, ge=0, le=16)
    """Pixels of padding before the random crop; 0 crops nothing."""
    flip: bool = True
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 autocasts the forward pass; weights and updates stay float32."""


class Distillation(StrictModel):
    """Hinton et al. 2015: loss = alpha · T² · KL(teacher ‖ student) + (1 − alpha) · cross entropy."""

    teacher: Name
    temperature: float = Field(default=3.0, gt=0)
    alpha: float = Field(default=0.7, ge=0, le=1)
