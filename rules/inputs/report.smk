# What a report reads.

CATALOGUE = files_below("reports/metrics", ".yaml")
REPORT_FILES = sorted(str(path) for path in Path("reports").glob("report.*"))


def metrics_files(wildcards):
    """The metrics files of a study's report."""
    s = study(wildcards)
    of_tasks = [
        *s.tasks,
        *(topic for task in s.tasks.values() for topic in task.topics),
    ]
    optional = {
        "magnitude-pruning": s.magnitude_pruning,
        "compression": "paper-split" in s.engines,
        "scenarios": s.scenarios,
        "cross-validation": s.cross_validation,
        "board": CONFIG.port,
    }
    always = ["networks", "parity", "emulated", "arena", "device", "esp32"]
    always += ["host", "energy"]
    topics = of_tasks + [name for name, wanted in optional.items() if wanted] + always
    files = [
        made("results/{study}/{budget}/metrics/{topic}.json", wildcards, topic=topic)
        for topic in topics
    ]
    return files + (
        [made(rules.survey_networks.output.metrics, wildcards)] if s.survey else []
    )


def report_tables(wildcards):
    """The tables of a study: its own, or those of any network and of the score of the task on the device."""
    if claims := study(wildcards).claims:
        return [f"reports/tables/{claims}.yaml"]
    names = f"own-network-{device_task(wildcards)}", "own-network"
    return [f"reports/tables/{name}.yaml" for name in names]
