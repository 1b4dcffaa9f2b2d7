"""Typed board configuration: ``config/boards/<board>.yaml``.

A file is a :class:`Platform` when it has what the fit check reads (:mod:`paper2board.boards.fit`): memories, clock
and what an application takes. It is a :class:`Board`, one that a study can name, when it also has what turns
instructions into time, energy and battery life. Every figure carries its kind and source, like the evidence that is
computed from it. Imports nothing heavy, so the workflow may load boards while it parses.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from paper2board.boards.chemistry import SELF_DISCHARGE, Chemistry
from paper2board.boards.families import FAMILIES, Family
from paper2board.boards.figures import Figure, Fraction, Positive, require
from paper2board.core.configuration import load_yaml, read_yaml
from paper2board.core.errors import UserError
from paper2board.core.evidence import Kind
from paper2board.core.strict import OneOf, StrictModel


class PlatformMemory(StrictModel):
    """Sizes of the chip's and the module's memories, in bytes."""

    flash_B: Figure
    dram_B: Figure
    """All SRAM on the data bus, in however many pieces."""
    largest_block_B: Figure | None = None
    """Largest piece of it that one static array can take; left out where that is all of it."""
    iram_B: Figure | None = None
    psram_B: Figure | None = None
    """External RAM; left out where the board has none."""

    @model_validator(mode="after")
    def _block_is_part_of_the_sram(self) -> "PlatformMemory":
        block, dram = self.block_B, int(self.dram_B.value)
        require(block <= dram, f"largest_block_B ({block}) is above dram_B ({dram})")
        return self

    @property
    def block_B(self) -> int:
        """How many bytes of SRAM lie in one piece."""
        return int((self.largest_block_B or self.dram_B).value)


class Memory(PlatformMemory):
    """Memories of a study's board: its code runs from SRAM on the instruction bus."""

    iram_B: Figure


class Application(StrictModel):
    """What an application takes of a board before a network is added: start-up code, runtime, drivers, stack."""

    reserved_flash_B: Figure
    reserved_sram_B: Figure
    """Of the largest piece of SRAM."""


class PlatformCpu(StrictModel):
    """The processor; cycles per instruction only where the workflow counts instructions for it."""

    clock_MHz: Figure
    cycles_per_instruction: Figure | None = None
    mac16_cycles_per_instruction: Figure | None = None


class Cpu(PlatformCpu):
    """What turns an instruction count into time."""

    cycles_per_instruction: Figure
    mac16_cycles_per_instruction: Figure

    def cpi(self, *, mac16: bool) -> Figure:
        """Return the cycles per instruction of scalar code or of MAC16 kernels."""
        return self.mac16_cycles_per_instruction if mac16 else self.cycles_per_instruction


class Currents(StrictModel):
    """Current that the whole board draws from its supply while it is awake."""

    idle_mA: Figure
    active_mA: Figure

    @model_validator(mode="after")
    def _active_draws_more(self) -> "Currents":
        idle, active = self.idle_mA.value, self.active_mA.value
        require(idle < active, f"idle_mA ({idle}) is not below active_mA ({active})")
        return self


class SleepMode(StrictModel):
    """One sleep mode of the chip."""

    chip_mA: Figure
    wake_ms: Figure


class Sleep(StrictModel):
    """What the board can do between inferences instead of idling."""

    board_overhead_mA: Figure
    light: SleepMode
    deep: SleepMode

    @model_validator(mode="after")
    def _deep_draws_less(self) -> "Sleep":
        light, deep = self.light.chip_mA.value, self.deep.chip_mA.value
        require(deep < light, f"deep.chip_mA ({deep}) is not below light.chip_mA ({light})")
        return self


class Camera(StrictModel):
    """A camera that is off while the board sleeps."""

    current_mA: Figure
    """Of the whole board until the image is there."""
    image_ms: Figure
    """From switching it on to the image."""


class Battery(StrictModel):
    """A battery and the losses between it and the board."""

    voltage_V: Figure
    capacity_Ah: Figure
    converter_efficiency: Fraction
    discharge_efficiency: Fraction
    chemistry: Chemistry | None = None
    """None: self-discharge is not counted, unless stated."""
    self_discharge_per_month: Fraction | None = None
    """Share of what is left; None: what is typical of the chemistry."""

    @model_validator(mode="after")
    def _keeps_something_for_a_month(self) -> "Battery":
        if (loss := self.self_discharge_per_month) is not None:
            highest = max((loss.value, *(loss.interval or ())))
            require(highest < 1, f"self_discharge_per_month ({highest}) leaves nothing after a month")
        return self

    @property
    def loss(self) -> Fraction | None:
        """The self-discharge per month, stated or of the chemistry, as far as known."""
        if self.self_discharge_per_month is not None or self.chemistry is None:
            return self.self_discharge_per_month
        typical, low, high, source = SELF_DISCHARGE[self.chemistry]
        return Fraction(
            value=typical, interval=(low, high), kind=Kind.CLAIMED, source=f"{self.chemistry}: {source}"
        )


class Scratchpad(StrictModel):
    """The SRAM of the memory-energy model."""

    block_B: Figure
    element_B: Figure
    read_nJ: Figure
    write_nJ: Figure
    leakage_mW: Figure

    @model_validator(mode="after")
    def _block_holds_elements(self) -> "Scratchpad":
        block, element = self.block_B.value, self.element_B.value
        require(block % element == 0, f"block_B ({block}) is not a multiple of element_B ({element})")
        return self

    @property
    def elements_per_block(self) -> int:
        """How many elements one physical access moves."""
        return int(self.block_B.value // self.element_B.value)


class ActiveWindowThresholds(StrictModel):
    """Thresholds of the active-window detector; choices, not figures."""

    current_min_mA: Positive
    current_max_mA: Positive
    boot_s: Annotated[float, Field(ge=0, strict=True)]
    min_duration_s: Positive

    @model_validator(mode="after")
    def _thresholds_are_ordered(self) -> "ActiveWindowThresholds":
        low, high = self.current_min_mA, self.current_max_mA
        require(low < high, f"current_min_mA ({low}) is not below current_max_mA ({high})")
        return self


class Platform(StrictModel):
    """A board configuration file that the fit check can use; what else it has is checked too."""

    name: Annotated[str, Field(min_length=1)]
    """How the report calls the board."""
    family: Annotated[str, OneOf(FAMILIES)]
    """Its processor."""
    memory: PlatformMemory
    application: Application
    cpu: PlatformCpu
    supply_V: Figure | None = None
    currents: Currents | None = None
    sleep: Sleep | None = None
    camera: Camera | None = None
    battery: Battery | None = None
    scratchpad: Scratchpad | None = None
    active_window: ActiveWindowThresholds | None = None

    @property
    def processor(self) -> Family:
        """What its family says of the processor."""
        return FAMILIES[self.family]

    @model_validator(mode="after")
    def _application_leaves_room(self) -> "Platform":
        flash, taken = self.memory.flash_B.value, self.application.reserved_flash_B.value
        require(
            taken < flash, f"application.reserved_flash_B ({taken}) is not below memory.flash_B ({flash})"
        )
        block, taken = self.memory.block_B, self.application.reserved_sram_B.value
        require(
            taken < block,
            f"application.reserved_sram_B ({taken}) is not below the largest piece of SRAM in memory ({block})",
        )
        return self

    @model_validator(mode="after")
    def _sleeping_draws_less_than_idling(self) -> "Platform":
        if self.sleep is not None and self.currents is not None:
            asleep = self.sleep.light.chip_mA.value + self.sleep.board_overhead_mA.value
            idle = self.currents.idle_mA.value
            require(
                asleep < idle,
                f"sleep.light.chip_mA + sleep.board_overhead_mA ({asleep:g}) is not below "
                f"currents.idle_mA ({idle})",
            )
        return self


class Board(Platform):
    """A board configuration file that a study can name; the scratchpad serves one study's energy model only."""

    memory: Memory
    cpu: Cpu
    supply_V: Figure
    currents: Currents
    sleep: Sleep
    battery: Battery
    active_window: ActiveWindowThresholds


def load_platform(path: str | Path) -> Platform:
    """Read any board configuration, complete or not.

    Raises:
        UserError: the file cannot be read, is not YAML, or a key is unknown, missing or impossible.
    """
    return load_yaml(path, Platform)


def load_board(path: str | Path) -> Board:
    """Read the configuration of a board that a study names.

    Raises:
        UserError: as :func:`load_platform`, or the file has too few keys for a study.
    """
    document = read_yaml(path)
    platform = document.validated(Platform)
    if platform.processor.cores is None:
        emulated = ", ".join(name for name, family in FAMILIES.items() if family.cores)
        document.refuse(
            ("family",),
            f"family: boards of {platform.family} take part in the fit check alone, for nothing counts their"
            f" instructions; name a board of {emulated} in the study",
        )
    try:
        return Board.model_validate(document.content)
    except ValidationError as error:  # all that is there has been checked, so this is what is not there
        missing = ", ".join(".".join(map(str, each["loc"])) for each in error.errors(include_url=False))
        raise UserError(
            f"{path}: a study's board needs also {missing}; take the keys from config/boards/esp32-wroom.yaml "
            "with this board's figures, or name another board in the study"
        ) from error
