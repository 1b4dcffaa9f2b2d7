"""IntegerModel: the quantized network as integers, its arithmetic and its exact simulation."""
