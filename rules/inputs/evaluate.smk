# Which outputs and weights the rules of evaluate.smk read.


def parity_limit(wildcards):
    """How many test images TFLite Micro runs: all for the device's model, a sample for the others."""
    if wildcards.variant == study(wildcards).device_variant:
        return budget(wildcards).test_images
    return budget(wildcards).parity_images


def scored(file):
    """An input function: ``file`` of each score of a task and each seed, in the order in which the summary reads
    them."""
    return lambda wildcards: [
        file(wildcards, variant, scheme, seed)
        for variant, scheme in study(wildcards).scores(wildcards.task).values()
        for seed in budget(wildcards).seeds
    ]


def outputs_of(wildcards, variant, scheme, seed):
    """The file of a variant's outputs for the test set under a scheme."""
    return made(LOGITS, wildcards, variant=variant, scheme=scheme, seed=seed)


def weights_of(wildcards, variant, scheme, seed):
    """The file that holds a variant's weights under a scheme."""
    pattern = WEIGHTS if SCHEMES[scheme].is_float else INTEGER_MODEL
    return made(pattern, wildcards, variant=variant, scheme=scheme, seed=seed)


def comparisons(wildcards):
    """The gains to report between scores of one task."""
    return {
        name: sides
        for name, sides in study(wildcards).comparisons.items()
        if sides[0] in study(wildcards).scores(wildcards.task)
    }


def magnitude_models(wildcards):
    """(variant, percent) of every magnitude-pruned network."""
    return [
        (name, round(100 * ratio))
        for name, ratios in study(wildcards).magnitude_pruning.items()
        for ratio in ratios
    ]


def magnitude_pruned(wildcards):
    """The files' stems of these networks."""
    return [
        MAGNITUDE_PRUNED.format(variant=name, percent=percent)
        for name, percent in magnitude_models(wildcards)
    ]


def magnitude_tasks(wildcards):
    """The task of every magnitude-pruned network."""
    return [study(wildcards).task_of(name) for name, _ in magnitude_models(wildcards)]
