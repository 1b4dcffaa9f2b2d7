"""The quantization schemes. Each has one name: in studies, in file names and in metrics.

A new scheme is a row of :data:`SCHEMES` and the arithmetic behind it (docs/contributing/scheme.md). Imports nothing
heavy: the Snakefile reads it.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from paper2board.core.strict import OneOf

Maker = Literal["evaluate_float", "quantize_post_training", "train_quantization_aware", "import_tflite"]
"""The rule that makes a scheme's networks; ``evaluate_float`` evaluates the float network in the scheme's form."""


@dataclass(frozen=True)
class Scheme:
    """One way to have a network's numbers."""

    maker: Maker
    method: str
    """How such a network is evaluated, in the words of the evidence."""
    per_channel: bool = True
    """Post-training quantization gives a convolution one weight scale for each channel, else one for the tensor."""
    release: Literal["never", "otherwise", "always"] = "never"
    """Whether a variant's model under it is the variant's released int8 model, ``<variant>.int8`` in metrics:
    ``otherwise`` where the variant has none that ``always`` is."""

    @property
    def is_float(self) -> bool:
        """Outputs are float32, computed from the float network's weights; else there is an IntegerModel."""
        return self.maker == "evaluate_float"


UNQUANTIZED = "fp32"
IMPORTED = "int8-imported"
SCHEMES = {
    UNQUANTIZED: Scheme("evaluate_float", "float32 network, batch norm folded"),
    "weight-only-int8": Scheme(
        "evaluate_float", "weights and biases through the deck's per-tensor int8 and back, float activations"
    ),
    "int8-ptq": Scheme(
        "quantize_post_training",
        "int64 simulation of the integer model, post-training quantization per channel",
        release="otherwise",
    ),
    "int8-ptq-per-tensor": Scheme(
        "quantize_post_training",
        "int64 simulation of the integer model, post-training quantization per tensor",
        per_channel=False,
    ),
    "int8-qat": Scheme(
        "train_quantization_aware",
        "int64 simulation of the integer model, quantization-aware training per channel",
        release="always",
    ),
    IMPORTED: Scheme(
        "import_tflite", "int64 simulation of the integer model read from a .tflite file", release="always"
    ),
}
RELEASED = "int8"
"""What metrics call a variant's released model, whatever its scheme."""
FORMS = (*SCHEMES, RELEASED)
"""The last part of a score's name: ``accuracy.<variant>.<form>``."""

CHOSEN = tuple(name for name in SCHEMES if name not in (UNQUANTIZED, IMPORTED))
"""The schemes under which a study lists variants; the other two follow from the variant."""
ChosenScheme = Annotated[str, OneOf(CHOSEN)]


def schemes_of(*makers: Maker) -> list[str]:
    """Return the names of the schemes of these rules."""
    return [name for name, scheme in SCHEMES.items() if scheme.maker in makers]
