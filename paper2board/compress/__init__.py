"""Pruning and quantization: from a float network to an IntegerModel."""
