"""What a board's output names as its trouble."""

import contextlib
import io
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from messages import naming
from mock_board import MockBoard, sending

from paper2board.capture.client import Device, DeviceError, RestartError
from paper2board.capture.link import LinkError, serial_link
from paper2board.capture.mlperf import DeviceUnderTest
from paper2board.core.errors import UserError
from paper2board.firmware.symptoms import RESET_REASONS, SYMPTOMS, cause, diagnose

ROM = (
    b"ets Jun  8 2016 00:22:57\r\n\r\nrst:0xc (SW_CPU_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n"
    b"configsip: 0, SPIWP:0xee\r\nmode:DIO, clock div:2\r\nload:0x3fff0030,len:1184\r\nentry 0x400806b8\r\n"
)
ROM_S3 = b"ESP-ROM:esp32s3-20210327\r\nBuild:Mar 27 2021\r\nrst:0x%x (%s),boot:0x%x (%s)\r\nmode:DIO\r\n"
GURU = b"Guru Meditation Error: Core  %d panic'ed (%s). Exception was unhandled.\r\n\r\nCore  0 register dump:\r\n"
HEARD = {
    "brownout": (
        b"\r\nBrownout detector was triggered\r\n\r\n" + ROM,
        ("Brownout", "voltage", "stronger supply"),
    ),
    "brownout of an S3": (
        b"E BOD: Brownout detector was triggered\r\n"
        + ROM_S3 % (3, b"RTC_SW_SYS_RST", 8, b"SPI_FAST_FLASH_BOOT"),
        ("Brownout", "stronger supply"),
    ),
    "brownout that only the ROM tells": (
        ROM.replace(b"0xc (SW_CPU_RESET)", b"0xf (RTCWDT_BROWN_OUT_RESET)"),
        ("voltage", "stronger supply"),
    ),
    "brownout whose text breaks off": (
        b"\r\nBrownout detector was tr\xff\x00" + ROM,
        ("brownout: Brownout detector was tr)", "stronger supply"),
    ),
    "panic": (
        GURU % (0, b"LoadProhibited")
        + b"PC      : 0x400d1234  PS      : 0x00060030\r\nRebooting...\r\n"
        + ROM,
        ("Guru Meditation Error: Core 0 panic'ed (LoadProhibited)", "PC 0x400d1234", "image"),
    ),
    "panic of a C3": (
        GURU % (0, b"Load access fault") + b"MEPC    : 0x42007c4a  RA      : 0x42007c48\r\n",
        ("Core 0 panic'ed (Load access fault)", "PC 0x42007c4a"),
    ),
    "interrupt watchdog": (
        GURU % (1, b"Interrupt wdt timeout on CPU1"),
        ("interrupt watchdog", "Core 1", "CPU1"),
    ),
    "canary": (
        GURU % (0, b"Unhandled debug exception")
        + b"Debug exception reason: Stack canary watchpoint triggered (main) \r\n",
        ("stack", "task main", "canary"),
    ),
    "stack overflow": (
        b"***ERROR*** A stack overflow in task loopTask has been detected.\r\n" + ROM,
        ("stack", "task loopTask"),
    ),
    "abort": (
        b"\r\nabort() was called at PC 0x400d1a2b on core 0\r\n\r\nBacktrace: 0x40081a5d\r\n" + ROM,
        ("abort() was called at PC 0x400d1a2b on core 0",),
    ),
    "assert": (
        b"assert failed: xQueueSemaphoreTake queue.c:1545 (pxQueue->uxItemSize == 0)\r\n" + ROM,
        ("assert failed: xQueueSemaphoreTake queue.c:1545",),
    ),
    "task watchdog": (
        b"E (10303) task_wdt: Task watchdog got triggered. The following tasks did not reset it:\r\n"
        b"abort() was called at PC 0x400d1a2b on core 0\r\n",
        ("task watchdog", "abort()"),
    ),
    "RTC watchdog": (
        ROM.replace(b"0xc (SW_CPU_RESET)", b"0x10 (RTCWDT_RTC_RESET)"),
        ("RTC watchdog", "RTCWDT_RTC_RESET"),
    ),
    "boot loop": (ROM * 4, ("again and again", "4 times", "SW_CPU_RESET", "program restarted")),
    "boot loop of an S3": (
        ROM_S3 % (7, b"TG0WDT_SYS_RST", 8, b"SPI_FAST_FLASH_BOOT") * 3,
        ("again", "timer group 0", "TG0WDT_SYS_RST"),
    ),
    "erased flash": (ROM[:70] + b"invalid header: 0xffffffff\r\n" * 9, ("0xffffffff", "paper2board flash")),
    "download": (
        b"rst:0x1 (POWERON_RESET),boot:0x3 (DOWNLOAD_BOOT(UART0/UART1))\r\nwaiting for download\r\n",
        ("waiting for download", "BOOT", "EN"),
    ),
    "download of a C3": (ROM_S3 % (1, b"POWERON", 4, b"DOWNLOAD(USB/UART0/1)"), ("BOOT", "EN")),
    "header of a C3": (
        b"invalid header: 0xffffff7f\r\n" * 9,
        ("no program (invalid header: 0xffffff7f)", "flash"),
    ),
    "flash that cannot be read": (
        ROM[:70] + b"flash read err, 1000\r\nets_main.c 371 \r\n",
        ("empty or cannot be read (flash read err, 1000)", "paper2board flash", "GPIO 12"),
    ),
    "damaged image of a C3": (
        b"Checksum failure. Calculated 0x18 stored 0x00\r\nets_main.c 333 \r\n",
        ("damaged (Checksum failure. Calculated 0x18 stored 0x00)", "paper2board flash"),
    ),
    "fuses for signed programs": (
        b"secure boot check fail\r\nets_main.c 371 \r\n",
        ("signed programs (secure boot check fail)", "another board"),
    ),
    "ROM that gives up": (b"ets_main.c 371 \r\n", ("cannot start", "ets_main.c 371", "flash")),
    "USB reset of a P4": (
        ROM_S3 % (0x17, b"CHIP_USB_UART_RESET", 0x5F, b"SPI_FAST_FLASH_BOOT") * 3,
        ("again", "its USB port: CHIP_USB_UART_RESET"),
    ),
    "damaged image": (b"csum err:0x99!=0x5f\r\nets_main.c 384 \r\n", ("csum err:0x99!=0x5f", "flash")),
    "ESP-IDF's boot loader": (
        b"E (43) boot: No bootable app partitions in the partition table\r\n",
        ("No bootable app", "paper2board flash"),
    ),
    "our own fault": (b"e-[Fault 1c at 40080abc on 00000000]\r\n", ("e-[Fault 1c at 40080abc", "report")),
    "ESP8266": (b" ets Jan  8 2013,rst cause:2, boot mode:(3,6)\r\n", ("ESP8266", "ESP32")),
    "loopback": (b"%crc on%~1234:name:89abcdef%", ("our own commands", "TX and RX")),
    "another baud rate": (bytes(range(128, 256)) * 3, ("garbage", "115200 baud")),
    "another program": (
        b"MicroPython v1.23 on 2024-06-02\r\n>>> \r\n",
        ("MicroPython v1.23", "another program", "flash"),
    ),
    "silence": (b"", ("nothing came", "cable", "power", "115200 baud")),
    "zeros": (b"\0" * 50, ("zeros", "power")),
}


@pytest.mark.parametrize("name", HEARD)
def test_what_was_heard_is_told_with_its_cause_and_its_remedy(name: str) -> None:
    heard, parts = HEARD[name]
    for text in (
        (heard, b"\xff\x00~noise\r\n" + heard)
        if heard and "\0" not in heard[:1].decode("latin-1")
        else (heard,)
    ):
        message = diagnose(text, 115200)
        for part in parts:
            assert part in message, message
        assert "\n" not in message and ";" in message


def test_a_brownout_comes_before_the_panic_that_follows_it() -> None:
    message = diagnose(HEARD["panic"][0] + HEARD["brownout"][0], 115200)
    assert message.index("Brownout") < message.index("LoadProhibited") and "stronger supply" in message


def test_a_board_that_was_just_started_has_no_symptom() -> None:
    started = b"rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n"
    assert cause(started) is None and cause(b"") is None
    assert set(RESET_REASONS) >= {1, *range(3, 17)}


pieces = st.one_of(st.binary(max_size=60), st.sampled_from([heard for heard, _ in HEARD.values()] + [ROM]))


class Played(io.RawIOBase):
    """A link that plays bytes and then is silent."""

    port, baudrate, timeout = "played", 115200, 1.0

    def __init__(self, content: bytes) -> None:
        self._left = content

    def write(self, content: object) -> int:
        return 0

    def read_until(self, expected: bytes) -> bytes:
        head, found, self._left = self._left.partition(expected)
        return head + found


@pytest.mark.fuzz_doors
@given(st.lists(pieces, max_size=6).map(b"".join))
def test_any_bytes_from_the_port_give_one_sentence(heard: bytes) -> None:
    for connect in (
        lambda link: Device(link, timeout_s=0.002, attempts=2),
        lambda link: DeviceUnderTest(link, timeout_s=0.002),
    ):
        with pytest.raises(UserError) as caught:
            connect(Played(heard))  # type: ignore[no-untyped-call]
        message = str(caught.value)
        assert message.isprintable() and message.replace("…", "").isascii() and len(message) < 900, message
        assert "played" in message or "the device's program failed" in message


class Booting(Played):
    """A device that starts when its port is opened, ``boots`` times, and then replies to frames."""

    def __init__(self, boots: int, then: bytes = b"") -> None:
        super().__init__(b"")
        # What is sent during the boot is lost.
        self._says = [ROM, b"m-timestamp-mode-performance\r\nm-init-done\r\nm-ready\r\n"] * boots
        self._then = then
        self.greetings = 0

    def write(self, content: object) -> int:
        command = bytes(content)  # type: ignore[call-overload]
        self.greetings += command == b"%crc on%"
        if command.startswith(b"~"):
            if self._says:
                self._left += self._says.pop(0)
            elif b":name:" in command:
                self._left += reply_to(command, "m-name-dut-[paper2board]", "m-ready")
            else:
                self._left += self._then
        return len(command)


def reply_to(command: bytes, *lines: str) -> bytes:
    bodies = [f"{command[1:5].decode()}:{number:02x}:{line}" for number, line in enumerate(lines)]
    return b"".join(f"~{body}:{zlib.crc32(body.encode()):08x}\r\n".encode() for body in bodies)


def test_the_boot_that_opening_the_port_causes_is_no_failed_attempt() -> None:
    link = Booting(1)
    Device(link, timeout_s=0.05, attempts=1)  # type: ignore[arg-type]
    assert link.greetings == 3  # lost in the ROM, lost in the application's start, received


def test_a_second_boot_is_a_failed_attempt() -> None:
    with pytest.raises(LinkError, match=naming("played", "does not reply")):
        Device(Booting(2), timeout_s=0.05, attempts=1)  # type: ignore[arg-type]
    Device(Booting(2), timeout_s=0.05, attempts=3)  # type: ignore[arg-type]


def test_a_boot_loop_ends_after_the_attempts() -> None:
    link = Booting(1000)
    with pytest.raises(LinkError, match=naming("played", "again and again", "SW_CPU_RESET")):
        Device(link, timeout_s=0.05, attempts=8)  # type: ignore[arg-type]
    assert link.greetings == 8 + 2


def test_a_boot_amid_a_command_is_a_restart() -> None:
    device = Device(Booting(1, ROM), timeout_s=0.05, attempts=3)  # type: ignore[arg-type]
    with pytest.raises(RestartError, match=naming("played", "has restarted", "SW_CPU_RESET")):
        device.timestamp_us()


@contextlib.contextmanager
def link_to(text: bytes, pause_s: float = 0.02) -> Iterator[object]:
    with MockBoard(firmware=sending(text, pause_s)) as board, serial_link(board.port) as link:
        yield link


@pytest.mark.parametrize("name", ["brownout", "panic", "erased flash", "boot loop"])
def test_the_device_that_does_not_reply_is_diagnosed(name: str) -> None:
    heard, parts = HEARD[name]
    with link_to(heard) as link, pytest.raises(LinkError, match=naming("does not reply", parts[0])):
        Device(link, timeout_s=0.3, attempts=4)  # type: ignore[arg-type]


def test_mlperfs_runs_end_though_the_device_chatters_without_end() -> None:
    with (
        link_to(HEARD["brownout"][0]) as link,
        pytest.raises(DeviceError, match=naming("Brownout", "stronger supply")),
    ):
        DeviceUnderTest(link, timeout_s=0.3)  # type: ignore[arg-type]


def test_every_symptom_has_a_text_here() -> None:
    told = {symptom.remedy for symptom in SYMPTOMS}
    seen = [diagnose(heard, 115200) for heard, _ in HEARD.values()]
    untold = {remedy for remedy in told if not any(message.endswith(remedy) for message in seen)}
    assert len(untold) <= 1, untold  # a panic of the cache
