"""Serial ports of boards with an ESP32, found by the USB identity of their serial bridge."""

from dataclasses import dataclass

from serial.tools import list_ports

from paper2board.core.errors import UserError

BRIDGES = {
    (0x10C4, 0xEA60): "CP210x",  # "Silicon Labs factory default" in Linux's drivers/usb/serial/cp210x.c
    (0x1A86, 0x7523): "CH340",  # Linux, drivers/usb/serial/ch341.c
    (0x1A86, 0x55D4): "CH9102",  # esptool 5.6.0, cmds.run_stub
    (0x0403, 0x6001): "FT232R",  # this and the next two: Linux, drivers/usb/serial/ftdi_sio_ids.h
    (0x0403, 0x6010): "FT2232",
    (0x0403, 0x6015): "FT231X",
}
"""USB vendor and product of the serial bridges on ESP32 boards → the bridge's name."""
ESPRESSIF = 0x303A
"""Espressif's own USB vendor; any product counts (esp-pylib 1.2.0, constants.ESPRESSIF_VID)."""


@dataclass(frozen=True)
class SerialPort:
    """A serial port: its device (``/dev/ttyUSB0``), the bridge's name and its serial number, if it has one."""

    device: str
    bridge: str
    serial_number: str | None = None

    def __str__(self) -> str:
        number = f", serial number {self.serial_number}" if self.serial_number else ""
        return f"{self.device} ({self.bridge}{number})"


def board_ports() -> list[SerialPort]:
    """Return the serial ports of ESP32 boards, sorted by device."""
    found = []
    for port in list_ports.comports():
        bridge = "Espressif" if port.vid == ESPRESSIF else BRIDGES.get((port.vid, port.pid))
        if bridge:
            found.append(SerialPort(port.device, bridge, port.serial_number))
    return sorted(found, key=lambda port: port.device)


def find_port() -> str:
    """Return the device of the only ESP32 board; raise :class:`UserError` if none or several are connected."""
    ports = board_ports()
    if not ports:
        others = ", ".join(sorted(port.device for port in list_ports.comports())) or "none at all"
        raise UserError(
            f"no ESP32 board is connected (other serial ports: {others}); use a USB cable with data lines, load the"
            " driver of the board's USB bridge (cp210x, ch341), pass the port into a container"
            " (--device=/dev/ttyUSB0, group dialout), or name a port of another kind"
        )
    if len(ports) > 1:
        raise UserError(f"several boards are connected: {', '.join(map(str, ports))}; name the port of one")
    return ports[0].device
