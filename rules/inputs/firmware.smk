# What the rules that build and run device images share.


def firmware(*folders):
    """Digest of the engine's sources and of those below these folders of ``firmware``."""
    return source_digest(
        *(
            path
            for folder in ("engine", "kernels", *folders)
            for path in files_below(f"firmware/{folder}", ".c", ".h", ".S", ".ld")
        )
    )


def boxes_of(wildcards):
    """The tables with which the device decodes the network's outputs; none if it does not."""
    if not TASKS[device_task(wildcards)].decoded_on_device:
        return []
    return made(rules.generate_boxes.output.header, wildcards)


def emulated_core(wildcards, engine):
    """The emulated core on which an engine's instructions are counted for a study's board."""
    board = BOARDS[study(wildcards).board]
    return board.processor.core(needs_mac16=ENGINES[engine].needs_mac16)
