"""Networks in the study format: their spec, the torch module of it, counts, import of modules, input pixels."""
