"""The small network as a host library, as a sanitized process and as a second device image."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from paper2board.capture.client import Device
from paper2board.capture.link import EMULATOR, emulated_link
from paper2board.convert.engine_sources import APPLICATION, engine_flags, engine_sources
from paper2board.firmware.host import HostModel, build_host
from paper2board.firmware.image import build_device_image


@pytest.fixture(scope="session")
def other_image(generated: Path) -> Path:
    """Device image without the split: other bytes, the same outputs."""
    build_device_image(generated, generated / "nosplit.elf", split=False)
    return generated / "nosplit.elf"


@pytest.fixture(scope="session")
def host(generated: Path) -> HostModel:
    """The engine on this machine."""
    build_host(generated, generated / "libhost.so", split=True)
    return HostModel(generated / "libhost.so")


@pytest.fixture(scope="session")
def process(generated: Path) -> Path:
    """The device application as a program of this machine, under address and undefined-behaviour sanitizers."""
    output = generated / "application"
    network = generated / "model.c"
    sources = [*APPLICATION.glob("*.c"), *engine_sources(mac16=False, network=network), network]
    sources.append(Path(__file__).parent / "pipe_port.c")
    command = ["gcc", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command += [*engine_flags(checks=True), f"-I{APPLICATION}", f"-I{generated}"]
    command += [*map(str, sources), "-o", str(output)]
    subprocess.run(command, check=True)
    return output


@pytest.fixture
def emulators(image: Path) -> Callable[[], list[int]]:
    """Return the process ids of the emulators that run :func:`image`."""

    def find() -> list[int]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            # Processes may end meanwhile.
            with contextlib.suppress(OSError):
                command = (process / "cmdline").read_bytes().split(b"\0")
                if EMULATOR.encode() in command and str(image).encode() in command:
                    found.append(int(process.name))
        return found

    return find


@pytest.fixture
def device(image: Path) -> Iterator[Device]:
    """A device that has just started."""
    with emulated_link(image) as link:
        yield Device(link)
