"""Merging flags, variables and the file; errors that name what was typed."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnic.errors import SettingsError
from asyncnic.settings.knobs import Knobs
from asyncnic.settings.load import load, tuned
from asyncnic.settings.model import LIVE, Settings, changed, is_list
from asyncnic.settings.values import shown
from asyncnic.stacks.choice import choose


def refusal(flags: dict[str, object], environ: dict[str, str], config: Path | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load(flags, environ, config)
    return str(caught.value)


def test_the_defaults_are_the_contract() -> None:
    assert load({}, {}, None).model_dump(mode="json") == {
        "device": "tap:asyncnic0",
        "mac": "",
        "mtu": 1500,
        "address": ["192.0.2.2/24"],
        "host_address": "192.0.2.1/24",
        "stack": "inet",
        "kernel_if": "asyncnic1",
        "service": ["udp-echo:7"],
        "tcp_connections": 4096,
        "tcp_connections_per_source": 1024,
        "tcp_half_open": 512,
        "tcp_time_wait": 4096,
        "tcp_memory": 128 << 20,
        "workers": 1,
        "rx_ring": 256,
        "tx_ring": 64,
        "packet_ring": 4096,
        "packet_qdisc_bypass": False,
        "recorder_frames": 4096,
        "snapshot_dir": "",
        "storm_drops": 10,
        "storm_lag": "500ms",
        "rx_budget": 64,
        "target_lag": "2ms",
        "rx_time_budget": "2ms",
        "delivery": "direct",
        "queue_limit": 1024,
        "queue_policy": "drop-newest",
        "overload": "leave",
        "tap_queue": 1000,
        "target_age": "4ms",
        "sink_window": 1024,
        "lane": ["control=arp,nd,icmp,icmp6"],
        "shed": [],
        "lane_queue": [],
        "lane_weight": [],
        "busy_poll": "0us",
        "rx_usecs": "0us",
        "listen": "127.0.0.1:9732",
        "web_config": "",
        "control": "auto",
        "drain": "0us",
        "source_limit": "",
        "any": False,
        "any_passive": False,
        "any_hosts": 4096,
        "sequence_gaps": [],
        "enable_lifecycle": False,
        "sandbox": "auto",
        "loop": "uvloop",
        "log_format": "text",
        "log_level": "info",
        "fault": [],
        "stall_timeout": "1s",
    }


def test_a_flag_beats_a_variable_beats_the_file_beats_the_default(tmp_path: Path) -> None:
    config = tmp_path / "asyncnic.toml"
    config.write_text('rx_ring = 32\nrx_budget = 16\nmtu = 1400\naddress = ["192.0.2.9/24"]\n')
    settings = load({"rx_ring": "128"}, {"ASYNCNIC_RX_RING": "64", "ASYNCNIC_RX_BUDGET": "8"}, config)
    assert (settings.rx_ring, settings.knobs().rx_budget, settings.mtu, settings.tx_ring) == (128, 8, 1400, 64)
    assert settings.origin("rx_ring") == "--rx-ring 128"
    assert settings.origin("rx_budget") == "ASYNCNIC_RX_BUDGET=8"
    assert settings.origin("mtu") == f"mtu in {config}"
    assert settings.origin("listen") == "--listen 127.0.0.1:9732"
    assert [settings.given(name) for name in ("rx_ring", "mtu", "tx_ring")] == [True, True, False]


def test_an_error_names_what_was_typed(tmp_path: Path) -> None:
    config = tmp_path / "asyncnic.toml"
    config.write_text("rx_ring = 300\n")
    must = "must be a power of two from 1 to 512"
    assert refusal({"rx_ring": "300"}, {}) == f"--rx-ring 300: {must}"
    assert refusal({}, {"ASYNCNIC_RX_RING": "300"}) == f"ASYNCNIC_RX_RING=300: {must}"
    assert refusal({}, {}, config) == f"rx_ring in {config}: {must}"
    assert refusal({"address": ("192.0.2.2/24", "x")}, {}).startswith("--address x: must be an address")
    assert refusal({"queue_policy": "wait"}, {}) == "--queue-policy wait: must be drop-newest, drop-oldest or pause"
    assert refusal({"overload": "wait"}, {}) == "--overload wait: must be leave or drain"
    assert refusal({"web_config": "a\nb"}, {}).startswith("--web-config a\\nb: must be text")


def test_unknown_names_are_errors_with_a_suggestion(tmp_path: Path) -> None:
    config = tmp_path / "asyncnic.toml"
    config.write_text("rx-ring = 32\n")
    assert refusal({}, {}, config) == f"rx-ring in {config}: no such setting; did you mean rx_ring?"
    assert refusal({}, {"ASYNCNIC_RXRING": "1"}) == "ASYNCNIC_RXRING: no such setting; did you mean ASYNCNIC_RX_RING?"
    assert refusal({}, {"ASYNCNIC_ZZZ": "1"}) == "ASYNCNIC_ZZZ: no such setting"


def test_variables_of_others_are_left_alone() -> None:
    environ = {
        "ASYNCNIC_URL": "http://x",
        "ASYNCNIC_CONFIG": "x",
        "ASYNCNIC_SERVICE_HOST": "10.0.0.1",
        "ASYNCNIC_SERVICE_PORT_HTTP": "9732",
        "ASYNCNIC_PORT": "tcp://10.0.0.1:9732",
        "ASYNCNIC_PORT_9732_TCP_ADDR": "10.0.0.1",
        "PATH": "/bin",
    }
    assert load({}, environ, None) == load({}, {}, None)


@pytest.mark.parametrize("service", ["", "METRICS_", "RX_RING_", "DEVICE_", "A_B_2_", "LISTEN_"])
def test_any_kubernetes_service_may_be_called_asyncnic_something(service: str) -> None:
    """kubernetes.io/docs/concepts/services-networking/service: the variables that a kubelet adds for one."""
    prefix = f"ASYNCNIC_{service}"
    environ = {
        f"{prefix}SERVICE_HOST": "10.0.0.1",
        f"{prefix}SERVICE_PORT": "9732",
        f"{prefix}SERVICE_PORT_METRICS": "9732",
        f"{prefix}PORT": "tcp://10.0.0.1:9732",
    }
    for protocol in ("TCP", "UDP", "SCTP"):
        environ |= {f"{prefix}PORT_9732_{protocol}": f"{protocol.lower()}://10.0.0.1:9732"}
        environ |= {f"{prefix}PORT_9732_{protocol}_{what}": "x" for what in ("PROTO", "PORT", "ADDR")}
    assert load({}, environ, None) == load({}, {}, None)


def test_a_setting_that_looks_like_a_service_is_still_a_mistake() -> None:
    assert refusal({}, {"ASYNCNIC_LISTEN_PORT": "9732"}).startswith("ASYNCNIC_LISTEN_PORT: no such setting")


EMPTY_IS_A_VALUE = {
    "mac",
    "host_address",
    "service",
    "sequence_gaps",
    "fault",
    "lane",
    "shed",
    "lane_queue",
    "lane_weight",
} | {
    "web_config",
    "snapshot_dir",
    "source_limit",
    "control",
}
"""Settings that may be empty: none, or (mac, lane) left to the service."""


@pytest.mark.parametrize("name", list(Settings.model_fields))
@pytest.mark.parametrize("how", ["flag", "variable", "file"])
def test_an_empty_value_is_taken_or_refused_by_its_name(name: str, how: str, tmp_path: Path) -> None:
    config = tmp_path / "asyncnic.toml"
    config.write_text(f'{name} = ""\n')
    empty: tuple[str] | str = ("",) if is_list(name) else ""
    given: tuple[dict[str, object], dict[str, str], Path | None] = {
        "flag": ({name: empty}, {}, None),
        "variable": ({}, {f"ASYNCNIC_{name.upper()}": ""}, None),
        "file": ({}, {}, config),
    }[how]  # type: ignore[assignment]  # three kinds of nothing
    if name in EMPTY_IS_A_VALUE:
        choose(load(*given))
        return
    typed = {"flag": f'--{name.replace("_", "-")} ""', "variable": f'ASYNCNIC_{name.upper()}=""', "file": f"{name} in "}
    assert refusal(*given).startswith(typed[how])


STRANGE: list[object] = [
    "\ud800=3",
    "\0",
    "9" * 5000,
    "1e9999s",
    "a..b:80",
    "=",
    ";",
    "nan",
    True,
    1.5,
    float("nan"),
    None,
]
STRANGE += [[], [1], [[]], ["\ud800=3"], {}, {"a": 1}, 10**400, "x" * 60_000]


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
@pytest.mark.parametrize("value", STRANGE, ids=range(len(STRANGE)))
def test_whatever_is_put_is_a_knob_or_one_printable_line(name: str, value: object) -> None:
    said = ""
    try:
        choose(load({name: value}, {}, None))
    except SettingsError as error:
        said = str(error)
    assert said.isprintable()
    try:
        tuned(load({}, {}, None), {name: value})
    except SettingsError as error:
        said = str(error)
    assert said.isprintable()


def test_a_pipe_is_read_once_and_refused_at_a_reload(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    pipe = Path(f"/dev/fd/{ours}")
    os.write(theirs, b"rx_budget = 5\n")
    os.close(theirs)
    assert load({}, {}, pipe).knobs().rx_budget == 5
    os.mkfifo(waited_for := tmp_path / "fifo")
    for path in (pipe, waited_for):
        with pytest.raises(SettingsError, match=f"^--config {path}: no regular file, so it cannot be read again: "):
            load({}, {}, path, again=True)
    os.close(ours)


@pytest.mark.parametrize(
    ("path", "message"), [("/dev/zero", "larger than 1048576 octets"), ("/dev/null/x", "Not a directory")]
)
def test_a_file_that_never_ends_is_refused(path: str, message: str) -> None:
    assert refusal({}, {}, Path(path)) == f"--config {path}: {message}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"rx_ring = = 1", "not TOML"),
        (b"a = " + b"[" * 9999, "not TOML"),
        (b"\xff\xfe", "not UTF-8"),
        (b"address = 5", None),
        (b"address = [5]", None),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, content: bytes, message: str | None) -> None:
    config = tmp_path / "asyncnic.toml"
    config.write_bytes(content)
    text = refusal({}, {}, config)
    assert text.startswith(f"--config {config}: {message}" if message else f"address in {config}: must be")
    assert "\n" not in text


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    assert refusal({}, {}, tmp_path / "none.toml") == f"--config {tmp_path}/none.toml: No such file or directory"
    assert refusal({}, {}, tmp_path) == f"--config {tmp_path}: Is a directory"


def test_lists_come_repeated_or_with_commas(tmp_path: Path) -> None:
    config = tmp_path / "asyncnic.toml"
    config.write_text('service = ["udp-echo:7", "udp-discard:9"]\n')
    assert load({}, {}, config).service == ("udp-echo:7", "udp-discard:9")
    assert load({}, {"ASYNCNIC_SERVICE": "udp-echo:7, udp-discard:9"}, config).service == (
        "udp-echo:7",
        "udp-discard:9",
    )
    assert load({"service": ("udp-discard:9",)}, {}, config).service == ("udp-discard:9",)
    assert load({"service": ("",)}, {}, config).service == ()


def test_rules_of_lanes_have_commas_and_come_with_semicolons(tmp_path: Path) -> None:
    config = tmp_path / "asyncnic.toml"
    config.write_text('lane = ["control=arp,nd", "dns=udp:53"]\n')
    lanes = ("control=arp,nd", "dns=udp:53")
    assert load({}, {}, config).knobs().lane == lanes
    assert load({}, {"ASYNCNIC_LANE": "control=arp,nd; dns=udp:53"}, None).knobs().lane == lanes
    assert load({"lane": lanes}, {}, None).knobs().lane == lanes
    assert load({"lane": ("",)}, {}, None).knobs().lane == ()
    assert load({}, {"ASYNCNIC_SHED": "udp:9,tcp;src:198.51.100.0/24"}, None).knobs().shed == (
        "udp:9,tcp",
        "src:198.51.100.0/24",
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"lane": ("control=arq",)}, "--lane control=arq: lane control: 'arq' is not a rule; use arp, nd, "),
        ({"lane": ("a=arp", "a=nd")}, "--lane a=arp,a=nd: lane 'a' is there twice"),
        ({"shed": ("udp:0",)}, "--shed udp:0: shed: 'udp:0': '0' is not a port; use 1-65535"),
        ({"shed": ("*",)}, "--shed *: shed '*': would shed everything"),
        ({"lane_queue": ("dns=10",)}, "--lane-queue dns=10: there is no lane dns: use control or bulk"),
        ({"lane_weight": ("bulk=2", "x=1")}, "--lane-weight bulk=2,x=1: there is no lane x: use control or bulk"),
        ({"lane": ("",), "lane_queue": ("control=1",)}, "--lane-queue control=1: there is no lane control: use bulk"),
        ({"lane_queue": ("bulk",)}, "--lane-queue bulk: must be NAME=NUMBER"),
    ],
)
def test_bad_rules_and_unknown_lanes_are_one_line(flags: dict[str, object], message: str) -> None:
    text = refusal(flags, {})
    assert text.startswith(message)
    assert "\n" not in text


def test_the_default_host_address_is_for_the_default_network() -> None:
    assert str(load({"address": ("192.0.2.7/24",)}, {}, None).host_address) == "192.0.2.1/24"
    assert load({"address": ("10.0.0.2/24",)}, {}, None).host_address is None
    assert load({"host_address": ""}, {}, None).host_address is None
    both = load({"address": ("10.0.0.2/24",), "host_address": "10.0.0.1/24"}, {}, None)
    assert str(both.host_address) == "10.0.0.1/24"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"mtu": "1000", "address": ("2001:db8::2/64",)}, "--mtu 1000: must be at least 1280"),
        ({"address": ("192.0.2.1/24",)}, "--host-address 192.0.2.1/24: must differ from --address"),
        ({"stack": "sink", "service": ("udp-echo:7",)}, "--service udp-echo:7: needs --stack inet"),
        ({"address": ("192.0.2.3/24", "192.0.2.3/25")}, "--address 192.0.2.3/24,192.0.2.3/25: the same address twice"),
        ({"stack": "kernel", "device": "tap:asyncnic1"}, "--kernel-if asyncnic1: must differ from --device"),
    ],
)
def test_settings_that_contradict_each_other(flags: dict[str, object], message: str) -> None:
    assert refusal(flags, {}).startswith(message)


def test_the_live_settings_are_the_knobs() -> None:
    assert set(Knobs.__dataclass_fields__) - {"rx_budget_auto", "rx_usecs_auto"} == LIVE
    assert load({}, {}, None).knobs() == Knobs()
    knobs = load({"rx_time_budget": "500us", "queue_policy": "pause"}, {}, None).knobs()
    assert (knobs.rx_time_budget, knobs.queue_policy) == (0.0005, "pause")


def test_what_changed_is_told() -> None:
    old, new = load({}, {}, None), load({"rx_budget": "1", "mtu": "1400"}, {}, None)
    assert changed(old, new) == {"rx_budget", "mtu"}
    assert changed(old, old) == set()


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


@given(st.dictionaries(st.sampled_from(sorted(Settings.model_fields)), st.text(max_size=20), max_size=3))
def test_whatever_the_variables_say_it_is_settings_or_one_line(variables: dict[str, str]) -> None:
    said = ""
    try:
        load({}, {f"ASYNCNIC_{name.upper()}": text for name, text in variables.items()}, None)
    except SettingsError as error:
        said = str(error)
    assert said.isprintable()


def test_long_and_unprintable_values_are_shown_short() -> None:
    assert shown("a\x1b[2J") == "a\\x1b[2J"
    assert len(shown("x" * 1000)) == 80
    assert shown("") == '""'


@pytest.mark.parametrize("name", sorted(name for name in Settings.model_fields if name.startswith("tcp_")))
def test_every_limit_of_tcp_is_a_number_within_bounds(name: str) -> None:
    least = 1 << 20 if name == "tcp_memory" else 1
    assert getattr(load({name: str(least)}, {}, None), name) == least
    for wrong in ("0", "-1", str(1 << 41), "many"):
        said = refusal({name: wrong}, {})
        assert said.startswith(f"--{name.replace('_', '-')} {wrong}: must be a whole number from {least} to ")
