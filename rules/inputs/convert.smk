# What the rules that generate C share.

COST_TABLE = "paper2board/convert/kernels/cost_table.csv"
C_TEMPLATES = source_digest(*files_below("paper2board/convert/templates", ".j2"))


def streams(wildcards):
    """Whether a back end's plan is streaming."""
    return next(e.streaming for e in ENGINES.values() if e.backend == wildcards.backend)
