"""Evaluation, claims ledger, tables, figures and the rendered report."""
