"""How the kinds of data sets are prepared, a file a kind."""
