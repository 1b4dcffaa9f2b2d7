"""Scores and parity: what networks answer over the test set, in every form that they take."""
