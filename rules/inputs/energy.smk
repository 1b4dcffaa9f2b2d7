# What the rules of energy.smk share.


def recording(wildcards):
    """The files of a study's recorded trace, by their key in the study; empty if it has none."""
    trace = study(wildcards).trace
    files = (
        trace.model_dump(include={"file", "log"}, exclude_none=True) if trace else {}
    )
    return {key: Path(path) for key, path in files.items()}
