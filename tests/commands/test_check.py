"""`asyncnic check` as it is typed: what it prints for people and programs, and its exit codes."""

import json
from pathlib import Path

import pytest

from asyncnic.cli import main


def test_nothing_missing_is_a_line_a_finding_and_0(tap_name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--device", f"tap:{tap_name}", "--listen", "127.0.0.1:0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("ok       ") for line in lines)
    assert f"ok       TAP {tap_name}: may be made" in [line.rstrip() for line in lines]


def test_what_is_missing_has_its_fix_and_the_code_that_run_would_end_with(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--device", "tap:lo", "--listen", "127.0.0.1:0"]) == 4
    (line,) = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("ok ")]
    assert " ".join(line.split()) == "missing interface lo: a TAP it is none: choose another --device"


def test_json_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--json", "--device", "tap:lo", "--listen", "127.0.0.1:0"]) == 4
    (missing,) = [finding for finding in json.loads(capsys.readouterr().out) if not finding["ok"]]
    said = {"what": "interface lo: a TAP", "ok": False, "fix": "it is none: choose another --device", "code": 4}
    assert missing == said


def test_flags_variables_and_the_file_are_looked_at_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.toml"
    file.write_text('device = "tap:none0"\nlisten = "127.0.0.1:0"\nrx_ring = 3\n')
    assert main(["check", "--config", str(file)]) == 2
    assert capsys.readouterr().err == f"asyncnic: rx_ring in {file}: must be a power of two from 1 to 512\n"
    monkeypatch.setenv("ASYNCNIC_RX_RING", "64")
    assert main(["check", "--config", str(file), "--device", "tap:lo"]) == 4
    assert "interface lo: a TAP" in capsys.readouterr().out


def test_a_file_alone_is_looked_at_whatever_this_machine_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.toml"
    file.write_text('device = "uio:ffff:00:1f.7"\n')
    monkeypatch.setenv("ASYNCNIC_RX_RING", "3")
    assert main(["check", "--config-only", str(file)]) == 0
    assert capsys.readouterr().out == f"ok       --config-only {file}\n"
    file.write_text("rx_rin = 64\n")
    assert main(["check", "--config-only", str(file)]) == 2
    assert "rx_rin" in capsys.readouterr().err
    assert main(["check", "--config-only", str(file), "--mtu", "900"]) == 2
    assert "takes no other flag" in capsys.readouterr().err
