"""Whoever has the other end of standard input, output and error can neither stop the service nor its end."""

import os
import signal
import subprocess

import pytest

from tests.system.service import ASYNCNIC, HOST, PATIENCE, environment, wait_until


def command(tap: str, loop: str) -> list[str]:
    return [
        ASYNCNIC,
        "run",
        "--device",
        f"tap:{tap}",
        "--loop",
        loop,
        "--listen",
        "127.0.0.1:0",
        "--log-level",
        "debug",
    ]


def answers() -> bool:
    return subprocess.run(["ping", "-n", "-c", "1", "-W", "1", HOST], capture_output=True, check=False).returncode == 0


def ends_well(process: subprocess.Popen[bytes]) -> None:
    try:
        wait_until(answers, "it answers")
        process.send_signal(signal.SIGHUP)  # a line in the log
        assert answers()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed(tap_name: str, closed: str, loop: str) -> None:
    process = subprocess.Popen(["sh", "-c", f'exec "$@" {closed}', "sh", *command(tap_name, loop)], env=environment())
    ends_well(process)


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("full", [True, False], ids=["full", "without a reader"])
def test_a_pipe(tap_name: str, full: bool, loop: str) -> None:
    reader, writer = os.pipe()
    if full:
        os.set_blocking(writer, False)
        try:
            while True:
                os.write(writer, b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(writer, True)
    else:
        os.close(reader)
    process = subprocess.Popen(command(tap_name, loop), stderr=writer, env=environment())
    os.close(writer)
    ends_well(process)
    if full:
        os.close(reader)
