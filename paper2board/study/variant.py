"""A variant of a study: one set of weights, and how it is made."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from paper2board.core.strict import StrictModel
from paper2board.study.recipe import Distillation, Name
from paper2board.tasks.registry import TaskName

VariantKind = Literal["trained", "transferred", "distilled", "fine-tuned", "pruned", "ssd", "imported"]


class Variant(StrictModel):
    """One set of weights: trained from scratch, fine-tuned or pruned from a parent, or brought as a file."""

    network: Name | None = None
    parent: Name | None = None
    recipe: Name | None = None
    distillation: Distillation | None = None
    prune: dict[str, Annotated[float, Field(ge=0, lt=1)]] | None = None
    """Share of the output channels (neurons) to remove, per layer; L1-norm importance."""
    pretrained: Name | None = None
    """A file of config/pretrained whose weights a network starts from, or an SSD's backbone."""
    ssd: Literal["mobilenet-v2"] | None = None
    """torchvision's SSD with this backbone: a detector's teacher; it is not quantized."""
    tflite: str | None = None
    """Path of an int8 .tflite file; nothing is trained then."""
    task: TaskName | None = None
    """None: the study's."""

    @model_validator(mode="after")
    def _has_one_origin(self) -> "Variant":
        made_of = [
            key for key in (self.network, self.parent, self.distillation, self.prune) if key is not None
        ]
        if self.tflite is not None:
            if made_of or any(key is not None for key in (self.recipe, self.ssd, self.pretrained)):
                raise ValueError("a tflite file comes as it is; remove the variant's other keys")
            return self
        if self.ssd is not None:
            if made_of or None in (self.recipe, self.pretrained):
                raise ValueError("an ssd takes recipe and pretrained (its backbone's weights), nothing else")
            return self
        if self.network is not None and self.parent is not None:
            raise ValueError("has both network and parent; keep one")
        if self.network is None and self.parent is None:
            raise ValueError(
                "says neither network (from scratch), parent (from another variant) nor tflite (a file); add one"
            )
        if self.prune is not None and self.recipe is not None:
            raise ValueError(
                "has both recipe and prune; keep one and put the other into a variant of its own"
            )
        if self.prune is None and self.recipe is None:
            raise ValueError("says neither recipe (to train) nor prune; add one")
        if self.prune is not None and self.parent is None:
            raise ValueError("prune is for a variant with a parent; write parent instead of network")
        if self.distillation is not None and self.recipe is None:
            raise ValueError("distillation is for a variant with a recipe; remove it")
        if self.pretrained is not None and (self.network is None or self.distillation is not None):
            raise ValueError("pretrained weights are for a network trained on labels alone; remove the key")
        return self

    @property
    def kind(self) -> VariantKind:
        """Which rule makes it."""
        if self.tflite is not None:
            return "imported"
        if self.ssd is not None:
            return "ssd"
        if self.prune is not None:
            return "pruned"
        if self.parent is not None:
            return "fine-tuned"
        if self.pretrained is not None:
            return "transferred"
        return "distilled" if self.distillation else "trained"
