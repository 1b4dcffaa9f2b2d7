"""Boards and their figures: memories, clock, currents, battery, and what fits them."""
