"""A class an image."""
