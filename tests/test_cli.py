import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest
from messages import naming

from paper2board import cli, doctor, evaluate
from paper2board.core.errors import UserError

ROOT = Path(__file__).parents[1]


@pytest.fixture
def library(tmp_path: Path) -> Path:
    file = tmp_path / "libhost.so"
    file.touch()
    return file


def use_classifier(monkeypatch: pytest.MonkeyPatch, classify_image: object) -> None:
    module = ModuleType("paper2board.evaluate.classify")
    module.__dict__["classify_image"] = classify_image
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(evaluate, "classify", module, raising=False)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"paper2board {version('paper2board')}\n"


@pytest.mark.parametrize("arguments", [[], ["no-such-command"], ["classify"]])
def test_misuse_is_explained(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "usage: paper2board" in capsys.readouterr().err


@pytest.mark.parametrize("status", [0, 1])
def test_doctor_s_verdict_is_the_exit_status(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "main", lambda: status)
    assert cli.main(["doctor"]) == status


def test_classify_prints_the_three_best(
    library: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called = []

    def classify_image(image: Path, library: Path, top: int) -> list[tuple[str, float]]:
        called.append((image, library, top))
        return [("automobile", 1.0), ("cat", 0.0251), ("dog", 0.0004)]

    use_classifier(monkeypatch, classify_image)
    assert cli.main(["classify", "cat.jpg", "--library", str(library)]) == 0
    assert called == [(Path("cat.jpg"), library, 3)]
    assert capsys.readouterr().out == "automobile   100.0%\ncat            2.5%\ndog            0.0%\n"


def test_user_error_is_one_line(
    library: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def classify_image(*_: object) -> None:
        raise UserError("cat.jpg is not an image; name a JPEG or PNG file")

    use_classifier(monkeypatch, classify_image)
    assert cli.main(["classify", "cat.jpg", "--library", str(library)]) == 1
    assert capsys.readouterr().err == "paper2board: cat.jpg is not an image; name a JPEG or PNG file\n"


def test_classify_before_the_first_report_names_the_command_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "config", tmp_path / "config")
    config = tmp_path / "config/config.yaml"
    for budget in ("standard", "full"):
        config.write_text(re.sub("^budget: .*", f"budget: {budget}", config.read_text(), flags=re.MULTILINE))
        assert cli.main(["classify", "cat.jpg"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        library = f"build/esp32-wroom-cifar10/{budget}/s0/deployed.int8-qat/libhost.so"
        assert re.search(naming(library, "`make report`"), line)


@pytest.mark.parametrize("status", [0, 1])
def test_verify_device_s_verdict_is_the_exit_status(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    module = ModuleType("paper2board.evaluate.verify_device")
    module.__dict__["main"] = lambda *arguments: called.append(arguments) or status
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert cli.main(["verify-device", "a-study", "--engine", "mac16", "--images", "40"]) == status
    assert cli.main(["verify-device", "a-study"]) == status
    assert cli.main(["verify-device", "a-study", "--budget", "smoke"]) == status
    assert called == [
        ("a-study", "mac16", 40, None),
        ("a-study", None, None, None),
        ("a-study", None, None, "smoke"),
    ]


def test_the_command_line_needs_no_heavy_library() -> None:
    heavy = "{'torch', 'tensorflow', 'numpy', 'pandas'}"
    code = f"import sys, paper2board.cli; print({heavy} & sys.modules.keys())"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout == "set()\n"
