"""A new study's files: ``paper2board new-study``."""
