"""Proofs and measurements of the C engine."""
