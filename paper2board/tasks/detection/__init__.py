"""Boxes on a grid of cells."""
