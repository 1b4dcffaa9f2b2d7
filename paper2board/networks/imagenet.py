"""ImageNet's normalisation, which torchvision's weights expect: ``(pixel / 255 − MEAN) / DEVIATION``."""

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of red, green and blue in 0 … 1."""
