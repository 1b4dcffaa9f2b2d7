"""The device application as a process under sanitizers: no input breaks it."""

import re
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paper2board.capture.client import Device
from paper2board.capture.link import serial_link

WORDS = st.sampled_from(
    [
        *(
            b"help name profile timestamp db db64 load 432 433 row row64 photo infer results layers memory".split()
        ),
        *(b"digest crc on off 0 1 2 800 999999999 4294967297 -1 00 0g QUJD A=== = ~ ~0001: : %".split()),
        *(b"~0001:crc on:00000000% ~~ \r\n".split(b" ")),
        b"00" * 600,
        b"AAAA" * 256,
        b"x" * 1200,
    ]
)
TRAFFIC = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.lists(WORDS, max_size=4).map(lambda words: b" ".join(words) + b"%"),
    ),
    max_size=12,
).map(b"".join)


@settings(max_examples=60, deadline=None)
@given(traffic=TRAFFIC)
def test_any_traffic_gets_replies_in_whole_lines(process: Path, traffic: bytes) -> None:
    # A hundred thousand inferences would take too long, and are not the subject.
    traffic = re.sub(rb"(infer\s+)\d+(\s+)\d+", rb"\g<1>1\g<2>1", traffic)
    done = subprocess.run([process], input=traffic, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    assert re.fullmatch(rb"([ -~]*\r\n)*", done.stdout)


@settings(max_examples=25, deadline=None)
@given(traffic=TRAFFIC.filter(lambda traffic: b"infer" not in traffic))
def test_after_any_traffic_a_host_gets_right_outputs(
    process: Path, inputs: np.ndarray, expected: np.ndarray, traffic: bytes
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        serial_link(f"socket://127.0.0.1:{server.getsockname()[1]}") as link,
    ):
        connection, _ = server.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, subprocess.Popen([process], stdin=connection, stdout=connection) as running:
            try:
                link.write(traffic)
                device = Device(link, timeout_s=0.2)
                device.load(inputs[2])
                assert np.array_equal(device.infer(), expected[2])
                assert device.layers().names == ("conv1", "pool1", "fc1")
            finally:
                running.kill()


@pytest.mark.parametrize("encode", [bytes.hex, lambda content: content.hex().upper()])
def test_hexadecimal_of_either_case(
    process: Path, inputs: np.ndarray, expected: np.ndarray, encode: object
) -> None:
    pixels = (inputs[1].astype(int) + 128).astype(np.uint8).tobytes()
    text = f"db load 432%\r\ndb {encode(pixels)}%\r\ninfer 1 0%\r\n"  # type: ignore[operator]
    output = subprocess.run([process], input=text.encode(), capture_output=True, check=True).stdout.decode()
    assert f"m-results-[{','.join(map(str, expected[1]))}]\r\nm-ready\r\n" in output


def test_pins_mark_inferences_for_instruments(process: Path) -> None:
    pixels = "00" * 432
    lap, window = ["lap low", "lap high"], ["running high", "running low"]
    for command, expected in {
        "timestamp%": lap,
        f"db load 432%db {pixels}%infer 3 2%": [*lap, *window, *lap],
        f"batch 0 {'AAAA' * 144}%": window,
    }.items():
        done = subprocess.run([process], input=command, capture_output=True, text=True, check=True)
        # The first lap comes at the start.
        assert done.stderr.splitlines() == [*lap, *expected]


def test_digest_of_a_known_message(process: Path) -> None:
    output = subprocess.run([process], input=b"digest%", capture_output=True, check=True).stdout
    # FIPS 180-4's example "abc".
    assert b"[ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad]" in output


def test_clock_survives_the_counter_s_wrap(process: Path) -> None:
    output = subprocess.run([process], input=b"timestamp%" * 40, capture_output=True, check=True).stdout
    laps = [int(lap) for lap in re.findall(rb"m-lap-us-(\d+)", output)]
    steps = np.diff(laps[1:])
    assert len(laps) == 41 and steps.min() > 0 and steps.max() - steps.min() <= 1
