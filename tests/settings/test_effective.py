"""The settings in force, printed: each line says who said so, and the whole is a file that says the same again."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncnic.cli import main
from asyncnic.errors import SettingsError
from asyncnic.settings.effective import as_toml
from asyncnic.settings.load import load
from asyncnic.settings.model import Settings, changed

GIVEN: dict[str, st.SearchStrategy[object]] = {
    "web_config": st.text(max_size=12),
    "control": st.text(max_size=12),
    "rx_budget": st.one_of(st.integers(1, 4096), st.just("auto")),
    "target_lag": st.integers(100, 1_000_000).map("{}us".format),
    "host_address": st.sampled_from(["", "192.0.2.9/24", "2001:db8::9/64"]),
    "address": st.sampled_from([[], ["192.0.2.2/24", "2001:db8::2/64"]]),
    "device": st.sampled_from(["tap:a0", "packet:eth0"]),
    "shed": st.lists(st.sampled_from(["udp:19", "udp:7,9"]), max_size=2),
    "enable_lifecycle": st.booleans(),
    "overload": st.sampled_from(["leave", "drain"]),
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given=st.fixed_dictionaries({}, optional=GIVEN))
def test_the_whole_is_a_file_that_says_the_same(tmp_path: Path, given: dict[str, object]) -> None:
    try:
        first = load(given, {}, None)
    except SettingsError:
        return
    file = tmp_path / "printed.toml"
    file.write_text(as_toml(first), "utf-8")
    again = load({}, {}, file)
    assert changed(first, again) == set()
    assert all(again.given(name) for name in Settings.model_fields)


def test_each_line_says_who_said_so(tmp_path: Path) -> None:
    file = tmp_path / "given.toml"
    file.write_text("tx_ring = 128\nmtu = 1400\n")
    said = as_toml(load({"rx_ring": "512", "enable_lifecycle": True}, {"ASYNCNIC_MTU": "1300"}, file))
    lines = dict(line.split(" = ", 1) for line in said.splitlines())
    assert list(lines) == list(Settings.model_fields)
    assert [lines[name].split() for name in ("rx_ring", "mtu", "enable_lifecycle", "loop")] == [
        ["512", "#", "--rx-ring", "512"],
        ["1300", "#", "ASYNCNIC_MTU=1300"],
        ["true", "#", "--enable-lifecycle"],
        ['"uvloop"', "#", "default"],
    ]
    assert lines["tx_ring"].split("  # ")[1] == f"tx_ring in {file}"


def test_a_name_of_odd_characters_stays_one_line(tmp_path: Path) -> None:
    file = tmp_path / "new\nline.toml"
    file.write_text("mtu = 1400\n")
    assert len(as_toml(load({"control": 'a"\\ü'}, {}, file)).splitlines()) == len(Settings.model_fields)


def test_run_prints_them_and_opens_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--device", "tap:nobodyhasit", "--print-config"]) == 0
    assert capsys.readouterr().out.startswith('device = "tap:nobodyhasit"')
    assert main(["run", "--mtu", "1", "--print-config"]) == 2
