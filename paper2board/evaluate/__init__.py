"""Outputs over the test set of every form of a network, their scores and their parity."""
