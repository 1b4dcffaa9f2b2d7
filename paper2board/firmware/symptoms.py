"""What a board's serial output says about its trouble, in one sentence: what happened, and what to do.

What was heard is searched for the text that names the cause. Its end, in most cases the greeting of the ROM, says
nothing. The texts are those of the ROM and of ESP-IDF (which Arduino's core and MicroPython are built on), for the
ESP32 and its successors, whose words differ. They were compared with these public sources, not with a board:

resets
    ESP-IDF's ``components/esp_rom/<chip>/include/<chip>/rom/rtc.h`` of the ESP32, S3, C3 and C6
brownout, panics, watchdogs, stacks, heap, assertions
    ESP-IDF's guide ``fatal-errors.rst``; ``esp_system``'s ``panic.c``, ``panic_arch.c``, ``stack_check.c``,
    ``task_wdt.c`` and ``brownout.c``; ``freertos``'s ``port.c``; ``newlib``'s ``assert.c``
the boot loader of ESP-IDF
    ``bootloader_support``'s ``esp_image_format.c`` and ``bootloader_utility.c``
the ROM
    esptool's documents ``boot-mode-selection.rst`` and ``troubleshooting.rst``. ROMs have no public source, so for
    the rest reports and Espressif's answers to them: espressif/esp-idf #1778, #113 (flash read err), #13302,
    #10948 (invalid header), #4717 (csum err), #743 (secure boot check fail), esp-rs/esp-idf-template #27
    (Checksum failure, C3), esp8266/Arduino #435 (ESP8266)
"""

import re
from collections import Counter
from dataclasses import dataclass

REMEMBERED_BYTES = 1 << 14
"""More than a panic with its registers and backtrace; a device that chatters for days is not kept whole."""

_PROGRAM_ERROR = (
    "its program has an error or is not for this board: flash paper2board's image, or report this with it"
)
_SUPPLY = "give it 5 V from a stronger supply, with a short cable and nothing else on its pins"
_DAMAGED_IMAGE = "flash paper2board's image again, at 0x1000 (`paper2board flash`)"
_PRESS = "release BOOT, take what is wired to GPIO 0 (S3, C3: GPIO 0 or 9) off, and press EN"

RESET_REASONS = {
    1: "it was switched on",
    3: "its program restarted it",
    4: "a watchdog of the old kind",
    5: "it woke up from deep sleep",
    6: "the SDIO host",
    7: "watchdog of timer group 0",
    8: "watchdog of timer group 1",
    9: "RTC watchdog",
    10: "intrusion test",
    11: "watchdog of timer group 0, one core",
    12: "its program restarted the core, as after a panic",
    13: "RTC watchdog, one core",
    14: "the other core",
    15: "its voltage broke down",
    16: "RTC watchdog, the whole chip",
    17: "watchdog of timer group 1, one core",
    18: "super watchdog",
    19: "a glitch of the clock",
    20: "an error in its fuses",
    21: "the USB serial bridge",
    22: "the USB debugger",
    23: "a glitch of the voltage",
    24: "the debugger",
}
"""In words, by the number that the ROM of ESP32, S3, C3 and C6 prints (``rst:0xc``)."""
_HARMLESS_RESETS = {1, 3, 5, 14, 21, 22, 24}
_RESET = re.compile(rb"rst:0x([0-9a-fA-F]{1,2}) \(([\w ]*)\)")
_NO_TEXT = re.compile(rb"[^ -~\r\n\t\x1b]")
_PC = re.compile(rb"\b(?:PC|MEPC)\s*:\s*(0x[0-9a-fA-F]{8})")
_OUR_APPLICATION = re.compile(rb"~[0-9a-f]{4}:[0-9a-f]{2}:|m-ready|m-init-done")
_SEVERAL = 3
"""This many resets are a loop: one is our own, when the port is opened, and one may be the user's."""


@dataclass(frozen=True)
class Symptom:
    """A text that names a cause. ``what`` may have the pattern's groups in braces.

    ``flashing``: whether the cause also explains that the boot loader does not reply or loses bytes; the others end
    when a program is flashed.
    """

    pattern: bytes
    what: str
    remedy: str
    flashing: bool = False


SYMPTOMS = (
    # The first that is found decides: a cause stands before what follows from it.
    Symptom(
        # Where the voltage falls fast, the text ends before its end, and the ROM's greeting follows.
        rb"(?P<line>Brownout detector was triggered|Brownout [a-z ]{0,21}(?=[^ -~]{0,8}(?:ets [A-Z]|ESP-ROM))|"
        rb"rst:0xf \([\w ]*\))",
        "its voltage breaks down and it resets (brownout: {line})",
        _SUPPLY,
        flashing=True,
    ),
    Symptom(
        rb"%crc on%|~[0-9a-f]{4}:[^:\r\n]*:[0-9a-f]{8}%|\x07\x07\x12 U{32}|\A\s*name%",
        "our own commands come back: TX and RX are joined, or this is not a board",
        "undo the loop, or name another port",
        flashing=True,
    ),
    Symptom(
        rb"\*\*\*ERROR\*\*\* A stack overflow in task (?P<name>[ -~]{1,16}?) has been detected",
        "the stack of its task {name} overflowed",
        _PROGRAM_ERROR,
    ),
    Symptom(
        rb"(?:Guru Meditation[^\r\n]*\s+[^\r\n]*)?Stack canary watchpoint triggered \((?P<name>[ -~]{1,16}?)\)",
        "the stack of its task {name} overflowed (Stack canary watchpoint triggered{pc})",
        _PROGRAM_ERROR,
    ),
    Symptom(
        rb"(?P<line>Stack smashing protect failure!|Stack protection fault)",
        "its stack was overwritten ({line}{pc})",
        _PROGRAM_ERROR,
    ),
    Symptom(
        rb"Guru Meditation Error: Core +(?P<core>\d) panic'ed \((?P<cause>Interrupt w[ -~]{1,40}?)\)",
        "its interrupt watchdog fired (Guru Meditation Error: Core {core} panic'ed ({cause}){pc})",
        _PROGRAM_ERROR,
    ),
    Symptom(
        rb"Guru Meditation Error: Core +(?P<core>\d) panic'ed \((?P<cause>Cache (?:disabled|error)[ -~]{0,60}?)\)",
        "its program panicked (Guru Meditation Error: Core {core} panic'ed ({cause}){pc})",
        "check the flash chip's supply and mode; " + _PROGRAM_ERROR,
    ),
    Symptom(
        rb"Guru Meditation Error: Core +(?P<core>\d) panic'ed \((?P<cause>[ -~]{1,60}?)\)",
        "its program panicked (Guru Meditation Error: Core {core} panic'ed ({cause}){pc})",
        _PROGRAM_ERROR,
    ),
    # A first line of which bytes are lost.
    Symptom(rb"Guru Meditation|panic'ed", "its program panicked (Guru Meditation{pc})", _PROGRAM_ERROR),
    Symptom(
        rb"Task watchdog got triggered",
        "its task watchdog fired: a task held the processor for too long (Task watchdog got triggered)",
        _PROGRAM_ERROR,
    ),
    Symptom(
        rb"(?P<line>assert failed: [ -~]{1,120}|assertion \"[ -~]{1,120}|CORRUPT HEAP: [ -~]{1,80})",
        "a check in its program failed ({line})",
        _PROGRAM_ERROR,
    ),
    Symptom(
        rb"(?P<line>abort\(\) was called(?: at PC 0x[0-9a-fA-F]{8})?(?: on core \d)?)",
        "its program gave up ({line})",
        _PROGRAM_ERROR,
    ),
    Symptom(rb"(?P<line>e-\[Fault[ -~]{0,60})", "its program failed ({line})", "report this with the image"),
    Symptom(
        rb"ets Jan  8 201[34],|rst cause:? ?\d",
        "it is an ESP8266",
        "connect a board with an ESP32",
    ),
    Symptom(
        rb"(?i)invalid header: 0xffffffff",
        "no program is in its flash (invalid header: 0xffffffff)",
        "flash paper2board's image (`paper2board flash`)",
    ),
    Symptom(
        rb"(?P<line>(?i:invalid header): 0x[0-9a-fA-F]{8})",
        "what is in its flash is no program ({line})",
        _DAMAGED_IMAGE,
    ),
    Symptom(
        # The older ROMs of the ESP32 also say so of an empty flash.
        rb"(?P<line>flash read err[ -~]{0,20})(?:\s+ets_main\.c \d+)?",
        "its flash is empty or cannot be read ({line})",
        "flash paper2board's image (`paper2board flash`); if it stays, take what is wired to GPIO 12 and to the"
        " flash's pins (GPIO 6 to 11) off, then flash again; else use another board",
    ),
    Symptom(
        rb"(?P<line>secure boot check fail|Secure boot signature verification failed)(?:\s+ets_main\.c \d+)?",
        "it accepts only signed programs ({line})",
        "use another board",
    ),
    Symptom(
        rb"(?P<line>csum err:[ -~]{1,20}|Checksum fail(?:ed|ure)\.[ -~]{0,60}|invalid (?:magic byte|segment length)"
        rb"[ -~]{0,40}|Image hash failed[ -~]{0,40})(?:\s+ets_main\.c \d+)?",
        "the program in its flash is damaged ({line})",
        _DAMAGED_IMAGE,
    ),
    Symptom(
        rb"(?P<line>ets_main\.c \d+)",
        "its ROM cannot start the program in its flash ({line})",
        _DAMAGED_IMAGE,
    ),
    Symptom(
        rb"(?P<line>No bootable app partitions[ -~]{0,40}|(?:Factory|OTA) app partition[ -~]{0,10} is not"
        rb" bootable|Failed to verify partition table)",
        "its boot loader finds no program ({line})",
        _DAMAGED_IMAGE,
    ),
    Symptom(
        rb"waiting for download|\(DOWNLOAD",
        "it waits in its boot loader (waiting for download): its BOOT pin is low",
        _PRESS,
    ),
)


def cause(heard: bytes, *, flashing: bool = False) -> str | None:
    """Return what ``heard`` names as the cause, with the remedy; None if it names none.

    ``flashing``: only causes that also hold while a boot loader is spoken to.
    """
    pc = _PC.search(heard)
    told: list[tuple[range, str, str]] = []
    for symptom in SYMPTOMS:
        if (flashing and not symptom.flashing) or not (found := re.search(symptom.pattern, heard)):
            continue
        span = range(*found.span())
        if any(span.start < other.stop and other.start < span.stop for other, *_ in told):
            continue  # the same text, by a less exact row
        words = {name: printable(text) for name, text in found.groupdict().items()}
        words["pc"] = f", PC {pc[1].decode()}" if pc else ""
        told.append((span, symptom.what.format(**words), symptom.remedy))
    if not told:
        return None if flashing else _resets(heard)
    (_, what, remedy), *others = told
    return f"{what}{f'; also {others[0][1]}' if others else ''}; {remedy}"


def restart_cause(heard: bytes) -> str:
    """Return why a board has restarted while it was spoken to, and the remedy."""
    return cause(heard) or "its power or its reset pin was touched; check both"


def diagnose(heard: bytes, baud: int) -> str:
    """Return what happened and what to do, from what came in place of a reply at ``baud``.

    ``heard``: everything since the last valid reply, or the last :data:`REMEMBERED_BYTES` of it.
    """
    if known := cause(heard):
        return known
    if not heard.strip():
        return f"nothing came; check cable, power, that paper2board's image is flashed, and its rate ({baud} baud)"
    if not heard.strip(b"\0"):
        return "only zeros came: its TX line stays low; check the wire and the board's power"
    if garbage(heard):
        return f"only garbage came: its rate is not {baud} baud; open the link with the device's rate"
    if _OUR_APPLICATION.search(heard):
        return (
            f"its replies come damaged: it sent '{said(heard)}'; check the cable, and flash our image again"
        )
    return (
        f"it sent '{said(heard)}': another program runs on it; flash paper2board's image, and check the cable"
    )


def garbage(heard: bytes) -> bool:
    """Return whether most of ``heard`` is no text."""
    return 2 * len(_NO_TEXT.findall(heard)) > len(heard)


def said(heard: bytes, characters: int = 64) -> str:
    """Return the end of a text, on one line, for a message."""
    text = printable(heard)
    return text if len(text) <= characters else f"…{text[-characters:]}"


def printable(heard: bytes) -> str:
    """Return ``heard`` as one line of printable ASCII; terminal colours are left out."""
    plain = re.sub(rb"\x1b\[[0-9;]*[A-Za-z]", b"", heard).decode("latin-1")
    return " ".join("".join(c if " " <= c <= "~" else "?" if c.strip() else " " for c in plain).split())


def _resets(heard: bytes) -> str | None:
    """Return what the ROM's reasons of a reset say; None if they are those of a board that was just started."""
    resets = Counter((int(number, 16), name.decode()) for number, name in _RESET.findall(heard))
    if not resets:
        return None
    # Of a loop with several reasons the one that is no mere start says most.
    number, name = max(resets, key=lambda key: (not _harmless(*key), resets[key]))
    words = "its USB port" if "USB" in name else RESET_REASONS.get(number, "unknown reason")
    reason = f"{words}: {name}" if name else f"reason {number:#x}"
    if resets.total() >= _SEVERAL:
        return (
            f"it restarts again and again ({resets.total()} times; {reason}); check its power, take what is wired"
            " to its EN pin off, and flash paper2board's image"
        )
    if not _harmless(number, name):
        return f"it was reset ({reason}); flash paper2board's image, and report this if it stays"
    return None


def _harmless(number: int, name: str) -> bool:
    """Return whether a reset is no sign of trouble. Newer chips have other numbers for resets by USB."""
    return number in _HARMLESS_RESETS or "USB" in name
