"""Discovery of boards among the serial ports that pyserial lists."""

from collections.abc import Callable

import pytest
from messages import naming
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from paper2board.core.errors import UserError
from paper2board.firmware.serial_ports import BRIDGES, SerialPort, board_ports, find_port


def listed(
    device: str, vid: int | None = None, pid: int | None = None, number: str | None = None
) -> ListPortInfo:
    port = ListPortInfo(device)
    port.vid, port.pid, port.serial_number = vid, pid, number
    return port


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function after which pyserial lists the given ports."""
    return lambda *ports: monkeypatch.setattr(list_ports, "comports", lambda: list(ports))


UNRELATED = (
    listed("/dev/ttyS0"),
    listed("/dev/ttyACM9", 0x2341, 0x0043),
    listed("/dev/ttyACM8", 0x10C4, 0x0001),
)


@pytest.mark.parametrize("identity", [*BRIDGES, (0x303A, 0x1001), (0x303A, 0x4001)])
def test_only_board_is_found(plug: Callable[..., None], identity: tuple[int, int]) -> None:
    plug(*UNRELATED, listed("/dev/ttyUSB0", *identity))
    assert find_port() == "/dev/ttyUSB0"
    assert board_ports() == [SerialPort("/dev/ttyUSB0", BRIDGES.get(identity, "Espressif"))]


def test_without_a_board_the_error_lists_what_to_check(plug: Callable[..., None]) -> None:
    plug(*UNRELATED)
    hints = ("/dev/ttyACM8, /dev/ttyACM9, /dev/ttyS0", "data lines", "driver", "dialout", "container")
    with pytest.raises(UserError, match=naming(*hints)):
        find_port()
    plug()
    with pytest.raises(UserError, match=naming("none at all", "cable")):
        find_port()


def test_with_several_boards_a_port_must_be_named(plug: Callable[..., None]) -> None:
    plug(listed("/dev/ttyUSB1", 0x1A86, 0x7523), *UNRELATED, listed("/dev/ttyUSB0", 0x10C4, 0xEA60, "0001"))
    parts = ("/dev/ttyUSB0 (CP210x, serial number 0001)", "/dev/ttyUSB1 (CH340)", "name the port")
    with pytest.raises(UserError, match=naming(*parts)):
        find_port()


def test_this_machine_s_ports_can_be_listed() -> None:
    assert all(port.bridge for port in board_ports())
