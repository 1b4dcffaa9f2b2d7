# Input functions that name files of the models of a study.


def of_device_model(pattern, **values):
    """An input function: the file of the int8 model that goes on the device, by a rule's output pattern."""

    def file(wildcards):
        name = study(wildcards).device_variant
        scheme = study(wildcards).int8_scheme(name)
        model = {"seed": first_seed(wildcards), "variant": name, "scheme": scheme}
        return made(pattern, wildcards, **model | values)

    return file


def of_device_network(pattern):
    """An input function: the file of the float network behind that model; none if it was imported."""

    def file(wildcards):
        name = study(wildcards).device_variant
        if name not in study(wildcards).trained:
            return []
        return made(pattern, wildcards, seed=first_seed(wildcards), variant=name)

    return file


def of_engine(pattern):
    """An input function: the file of the device's model for the engine of a job, by default the study's."""

    def file(wildcards):
        engine = getattr(wildcards, "engine", study(wildcards).engine)
        return of_device_model(pattern, engine=engine, backend=ENGINES[engine].backend)(
            wildcards
        )

    return file


def of_engines(pattern):
    """An input function: the file of the device's model for each engine of the study."""
    return lambda wildcards: [
        of_device_model(pattern, engine=engine, backend=ENGINES[engine].backend)(
            wildcards
        )
        for engine in study(wildcards).engines
    ]


def of_released_models(pattern):
    """An input function: the file of every int8 model of a study, by a rule's output pattern."""
    return lambda wildcards: [
        made(
            pattern, wildcards, seed=first_seed(wildcards), variant=name, scheme=scheme
        )
        for name, scheme in study(wildcards).released()
    ]


def released_names(wildcards):
    """The variant of every int8 model of a study, in the same order."""
    return [name for name, _ in study(wildcards).released()]


def device_task(wildcards):
    """The task of the model on the device."""
    return study(wildcards).task_of(study(wildcards).device_variant)


def has_engine(wildcards, name):
    """Whether a study runs an engine on the device."""
    return name in study(wildcards).engines
