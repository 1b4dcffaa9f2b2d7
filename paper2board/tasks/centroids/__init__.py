"""Objects' centres among cells (FOMO)."""
