"""The README keeps its word: its program runs as printed, and its commands are those of CI."""

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
LIBRARY = (ROOT / "deploy/docs/pages/howto/library.md").read_text()


def blocks() -> list[str]:
    """The library page's indented blocks, without their indentation."""
    found: list[list[str]] = []
    inside = False
    for line in LIBRARY.splitlines():
        if line.startswith("    "):
            if not inside:
                found.append([])
            found[-1].append(line)
            inside = True
        elif line.strip():
            inside = False
        elif inside:
            found[-1].append(line)
    return [textwrap.dedent("\n".join(lines)).strip() + "\n" for lines in found]


def test_the_program_that_answers_pings_does(tmp_path: Path) -> None:
    (program,) = (block for block in blocks() if block.startswith("import asyncio\n"))
    script = tmp_path / "pings.py"
    script.write_text(program)
    child = subprocess.Popen([sys.executable, script])
    try:
        for _ in range(50):
            ping = ["ping", "-c", "3", "-i", "0.05", "-w", "2", "192.0.2.2"]
            answered = subprocess.run(ping, capture_output=True, text=True, check=False)
            if " 0% packet loss" in answered.stdout:
                break
            time.sleep(0.1)
        else:
            pytest.fail(answered.stdout)
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()


def test_the_program_that_answers_pings_gives_zeros_their_checksum() -> None:
    """One's complement has two zeros: the sum of zeros alone is the other one."""
    (line,) = (line for line in LIBRARY.splitlines() if "to_bytes(2" in line)
    expression = line.partition(" = 0, ")[2]
    assert eval(expression, {"frame": bytes(36) + b"\xf7\xff"}) == b"\xff\xff"
    assert eval(expression, {"frame": bytes(36) + b"\x12\x34"}) == b"\x1a\x34"


def test_the_programs_length_is_as_said() -> None:
    (program,) = (block for block in blocks() if block.startswith("import asyncio\n"))
    body = program.split("async with")[1].split("asyncio.run")[0]
    assert "in 15 lines" in LIBRARY
    assert len([line for line in program.splitlines() if line.strip()]) <= 20
    assert len([line for line in body.splitlines() if line.strip()]) <= 15


def test_ci_runs_the_commands_of_the_readme() -> None:
    run = (ROOT / ".ci" / "run").read_text()
    assert "$(cat .ci/debian-packages)" in README
    assert ".ci/debian-packages" in run
    for step in (
        ".venv/bin/pip install -r requirements-dev.lock",
        ".venv/bin/pip install --no-deps --no-build-isolation -e .",
        ".venv/bin/pytest -n auto --dist loadfile",
    ):
        assert step in README
        assert f"\n{step}" in run
