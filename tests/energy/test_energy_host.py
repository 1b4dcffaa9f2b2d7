"""One-shot latency and RAPL, on a powercap folder made for the test."""

import gc
from pathlib import Path

import numpy as np
import pytest

from paper2board.core.evidence import Kind
from paper2board.energy.host_latency import BATCHES, HostMeasurement, host_metrics, measure
from paper2board.energy.rapl import NotMeasurableError, Rapl


def _zone(powercap: Path, zone: str, name: str, energy_uJ: str, range_uJ: int = 1000) -> Path:
    folder = powercap / zone
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{energy_uJ}\n")
    (folder / "max_energy_range_uj").write_text(f"{range_uJ}\n")
    return folder / "energy_uj"


def test_packages_only_are_added_up(tmp_path: Path) -> None:
    first = _zone(tmp_path, "intel-rapl:0", "package-0", "100")
    second = _zone(tmp_path, "intel-rapl:1", "package-1", "200")
    core = _zone(tmp_path, "intel-rapl:0:0", "core", "5")
    psys = _zone(tmp_path, "intel-rapl:2", "psys", "5")
    rapl = Rapl(tmp_path)
    before = rapl.read_uJ()
    for counter, value in ((first, 130), (second, 260), (core, 25), (psys, 25)):
        counter.write_text(str(value))
    assert rapl.spent_uJ(before, rapl.read_uJ()) == 90


def test_a_counter_may_wrap_around(tmp_path: Path) -> None:
    counter = _zone(tmp_path, "intel-rapl:0", "package-0", "990", range_uJ=1000)
    rapl = Rapl(tmp_path)
    before = rapl.read_uJ()
    counter.write_text("15")
    assert rapl.spent_uJ(before, rapl.read_uJ()) == 25


def test_no_counter_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotMeasurableError, match="no RAPL package counter"):
        Rapl(tmp_path / "absent")


def test_a_strange_counter_is_said(tmp_path: Path) -> None:
    _zone(tmp_path, "intel-rapl:0", "package-0", "no number")
    with pytest.raises(NotMeasurableError, match="cannot be read"):
        Rapl(tmp_path)


def test_a_forbidden_counter_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = _zone(tmp_path, "intel-rapl:0", "package-0", "100")
    read_text = Path.read_text

    def guarded(path: Path, *args: object) -> str:
        if path == counter:
            raise PermissionError(13, "Permission denied", str(path))
        return read_text(path)

    monkeypatch.setattr(Path, "read_text", guarded)
    with pytest.raises(NotMeasurableError, match="root only"):
        Rapl(tmp_path)


def test_latency_is_timed_call_by_call_after_warm_up(tmp_path: Path) -> None:
    calls: list[bool] = []
    measurement = measure(lambda: calls.append(gc.isenabled()), warm_up=7, powercap=tmp_path)
    assert len(calls) == 1007
    assert calls[:7] == [True] * 7
    assert not any(calls[7:])
    assert gc.isenabled()
    assert measurement.latency_ms.shape == (1000,)
    assert (measurement.latency_ms > 0).all()
    assert measurement.energy_uJ is None
    assert measurement.energy_note.startswith("not measurable here: no RAPL")
    assert set(host_metrics("engine", measurement)) == {
        "host.latency.engine",
        "host.latency.engine.mean",
        "host.latency.engine.std",
        "host.latency.engine.p95",
        "host.latency.engine.p99",
    }


def test_energy_is_divided_among_the_inferences_of_a_batch(tmp_path: Path) -> None:
    counter = _zone(tmp_path, "intel-rapl:0", "package-0", "0", range_uJ=2**32)
    spent = 0

    def infer() -> None:
        nonlocal spent
        spent += 300
        counter.write_text(str(spent))

    measurement = measure(infer, powercap=tmp_path)
    assert measurement.energy_uJ is not None
    assert measurement.power_W is not None
    np.testing.assert_array_equal(measurement.energy_uJ, np.full(BATCHES, 300.0))
    mean_ms = measurement.latency_ms.reshape(BATCHES, -1).mean(axis=1)
    # µJ / ms = mW; the clock of a batch runs a little longer than its calls.
    assert (measurement.power_W <= 300 / mean_ms * 1e-3).all()
    metrics = host_metrics("torch", measurement)
    assert (metrics["host.energy.torch"].value, metrics["host.energy.torch"].unit) == (300.0, "uJ")
    assert metrics["host.energy.torch.std"].value == 0
    assert metrics["host.power.torch"].unit == "W"


@pytest.mark.parametrize("inferences", [10, 999, 1001])
def test_too_few_inferences_are_refused(inferences: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inferences"):
        measure(lambda: None, inferences=inferences, powercap=tmp_path)


def test_statistics_are_those_of_the_sample() -> None:
    latency = np.arange(1, 1001) / 1000
    metrics = host_metrics(
        "engine", HostMeasurement(latency, np.array([1.0, 3.0]), np.array([0.5, 0.7]), "RAPL")
    )
    median = metrics["host.latency.engine"]
    assert (median.value, median.unit, median.n, median.kind) == (
        pytest.approx(0.5005),
        "ms",
        1000,
        Kind.MEASURED,
    )
    assert median.interval == (pytest.approx(0.05095), pytest.approx(0.95005))
    assert metrics["host.latency.engine.std"].value == pytest.approx(np.std(latency, ddof=1))
    assert metrics["host.energy.engine"].value == 2
    assert metrics["host.power.engine"].value == pytest.approx(0.6)
