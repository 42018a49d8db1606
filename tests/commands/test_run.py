"""`asyncnic run` as it is typed, up to where the service begins: what it is given, and what a reload reads again."""

from collections.abc import Callable
from pathlib import Path

import pytest

from asyncnic.cli import main
from asyncnic.errors import Failed, SettingsError
from asyncnic.service import service
from asyncnic.settings.load import load
from asyncnic.settings.model import Settings

Again = Callable[[], Settings]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Settings, Again]]:
    """Services that the command has begun, none of which runs; each ends with 7."""
    found: list[tuple[Settings, Again]] = []

    def run(settings: Settings, again: Again) -> int:
        found.append((settings, again))
        return 7

    monkeypatch.setattr(service, "run", run)
    return found


def test_the_flag_wins_then_the_variable_then_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[tuple[Settings, Again]]
) -> None:
    file = tmp_path / "a.toml"
    file.write_text('mtu = 1000\nrx_budget = 10\nrx_ring = 16\ndevice = "tap:file0"\n')
    monkeypatch.setenv("ASYNCNIC_MTU", "1100")
    monkeypatch.setenv("ASYNCNIC_RX_BUDGET", "11")
    assert main(["run", "--config", str(file), "--mtu", "1200", "--enable-lifecycle"]) == 7
    [(settings, _)] = started
    said = settings.mtu, settings.knobs().rx_budget, settings.rx_ring, settings.device, settings.enable_lifecycle
    assert said == (1200, 11, 16, "tap:file0", True)


def test_a_reload_reads_the_file_again_and_the_flag_still_wins(
    tmp_path: Path, started: list[tuple[Settings, Again]]
) -> None:
    file = tmp_path / "a.toml"
    file.write_text("mtu = 1000\nrx_budget = 10\n")
    main(["run", "--config", str(file), "--mtu", "1200"])
    [(_, again)] = started
    file.write_text("mtu = 1001\nrx_budget = 20\n")
    assert (again().mtu, again().knobs().rx_budget) == (1200, 20)
    file.write_text("rx_budget = none\n")
    with pytest.raises(SettingsError, match=f"^--config {file}: "):
        again()
    file.unlink()
    with pytest.raises((SettingsError, Failed), match="No such file"):
        again()


def test_the_settings_in_force_are_printed_and_nothing_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, started: list[tuple[Settings, Again]]
) -> None:
    assert main(["run", "--print-config", "--mtu", "1200", "--lane", "a=udp:53"]) == 0
    assert not started
    text = capsys.readouterr().out
    (line,) = [line for line in text.splitlines() if line.startswith("mtu = ")]
    assert line.endswith("  # --mtu 1200")
    file = tmp_path / "printed.toml"
    file.write_text(text)
    again = load({}, {}, file)
    assert (again.mtu, again.knobs().lane) == (1200, ("a=udp:53",))


def test_what_is_wrong_is_said_before_anything_runs(
    capsys: pytest.CaptureFixture[str], started: list[tuple[Settings, Again]]
) -> None:
    assert main(["run", "--mtu", "1"]) == 2
    assert capsys.readouterr().err == "asyncnic: --mtu 1: must be a whole number from 68 to 1500\n"
    assert not started
