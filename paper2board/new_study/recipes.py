"""The recipes of a new study: a learning rate that suits the network, epochs that suit the number of images."""

from dataclasses import dataclass
from math import ceil

from paper2board.networks.spec import Conv, Depthwise, Linear, NetworkSpec
from paper2board.study.recipe import Recipe

TRAINING_STEPS = 1000
"""Least number of steps of the standard budget's longest trainings: few images need more epochs."""


@dataclass(frozen=True)
class WrittenRecipe:
    """A recipe with its name in the study and the comment above it."""

    name: str
    comment: str
    recipe: Recipe


def normalised(network: NetworkSpec) -> bool:
    """Return whether batch normalisation follows every layer with weights but the last."""
    weighted = [layer for layer in network.layers if isinstance(layer, Conv | Depthwise | Linear)]
    return all(isinstance(layer, Conv | Depthwise) and layer.batch_norm for layer in weighted[:-1])


def written_recipes(network: NetworkSpec, teacher: NetworkSpec, images: int) -> list[WrittenRecipe]:
    """Return the recipes of a study's teacher and of its own network. ``images``: those to train on.

    The rule: a network with batch normalisation after every layer but the last trains at 0.1 from PyTorch's
    weights. Any other trains at 0.03 from He's weights with its gradients clipped: from PyTorch's, signals shrink
    from layer to layer, and a deep network learns nothing. Quantization-aware training has its batch normalisation
    folded, so its gradients are always clipped.
    """
    batch = min(images, 128, max(8, images // 10))
    repeats = ceil(TRAINING_STEPS / (16 * ceil(images / batch)))
    crop = max(1, min(16, min(network.input[1:]) // 8))

    def written(
        name: str, comment: str, of: NetworkSpec, epochs: tuple[int, int], share: float, **keys: float
    ) -> WrittenRecipe:
        """``epochs``: of the budgets standard and full for many images. ``share``: of the rate from scratch."""
        steady = normalised(of)
        standard, full = epochs
        recipe = Recipe(
            epochs={"smoke": 1, "standard": standard * repeats, "full": full * repeats},
            learning_rate=round(share * (0.1 if steady else 0.03), 6),
            batch_size=batch,
            gradient_clip=5 if steady and name != "qat" else 1,
            initialisation="torch" if steady else "he",
            precision="bfloat16",
            crop_padding=crop,
            **keys,  # type: ignore[arg-type]
        )
        return WrittenRecipe(name, comment, recipe)

    return [
        written(
            "teacher", "The teacher's recipe: long, because it is trained only once.", teacher, (20, 120), 1
        ),
        written("scratch", "From random weights.", network, (16, 100), 1, label_smoothing=0.05),
        written(
            "fine-tune",
            "After pruning, or as further training: a lower learning rate.",
            network,
            (10, 60),
            0.5,
        ),
        written(
            "qat",
            "Quantization-aware training starts from trained weights: short, with a low learning rate.",
            network,
            (4, 20),
            0.1,
            weight_decay=0.0001,
        ),
    ]
