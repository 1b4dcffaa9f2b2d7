"""Study: the typed configuration of one reproduction."""
