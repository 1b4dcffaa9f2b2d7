"""How a network is evaluated, in the words of the evidence."""

UNQUANTIZED = "fp32"
FLOAT = (UNQUANTIZED, "deck-int8")
"""Schemes whose outputs are float32; the others' are int8."""
METHODS = {
    UNQUANTIZED: "float32 network, batch norm folded",
    "deck-int8": "weights and biases through the deck's per-tensor int8 and back, float activations",
    "ptq": "int64 simulation of the integer model, post-training quantization per channel",
    "ptq-per-tensor": "int64 simulation of the integer model, post-training quantization per tensor",
    "qat": "int64 simulation of the integer model, quantization-aware training per channel",
    "imported": "int64 simulation of the integer model read from a .tflite file",
}
