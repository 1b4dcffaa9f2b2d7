"""Names that are text to us, and something else to one of the programs that they pass through."""

ODD_NAMES = (
    "{wildcard}",
    "<b>&amp;",
    'it\'s "quoted"',
    "yes",
    "1e3",
    "ñandú",
    "名前",
)
"""To Snakemake, HTML, shells, YAML, and programs that know one script or one form of accents."""
