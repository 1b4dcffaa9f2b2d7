"""Scenes, the images with boxes among examples."""

from paper2board.acquire.examples import Examples
from paper2board.acquire.scenes import SceneSet
from paper2board.core.errors import UserError


def required_scenes(examples: Examples) -> SceneSet:
    """Return the examples' scenes; raise :class:`UserError` if they have no boxes."""
    if examples.scenes is None:
        raise UserError(f"{examples.origin} has no boxes; name a data set with boxes in the study")
    return examples.scenes
