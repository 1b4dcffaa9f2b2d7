"""IntegerModel to and from other formats: ONNX, .tflite, C."""
