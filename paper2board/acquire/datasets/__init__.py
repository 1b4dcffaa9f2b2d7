"""The kinds of data sets, a file a kind: what a file of config/datasets says. Light: the Snakefile reads them."""
