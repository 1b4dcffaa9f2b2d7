"""A number an example."""
