"""QEMU's Xtensa machine ``sim``. It runs device images with exact instruction counts."""

from pathlib import Path

EMULATOR = "qemu-system-xtensa"


def emulator_command(elf: str | Path, core: str, serial: str) -> list[str]:
    """Return the command that runs ``elf`` on QEMU's ``core``. ``serial``: the character device of its serial port.

    ``-icount shift=5,sleep=off`` makes CCOUNT an exact count of instructions.
    """
    command = [EMULATOR, "-M", "sim", "-cpu", core, "-semihosting", "-icount", "shift=5,sleep=off"]
    command += ["-display", "none", "-monitor", "none", "-serial", serial]
    return [*command, "-kernel", str(elf)]
