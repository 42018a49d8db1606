"""When there is a sandbox, why not, and what is said of it; what it does is shown in tests/system/test_sandbox.py."""

import pytest

from asyncnic.errors import SettingsError
from asyncnic.linux import landlock, seccomp
from asyncnic.linux.privileges import BPF, NET_ADMIN
from asyncnic.service import sandbox
from asyncnic.service.sandbox import NONE, Sandbox, enter, names, obstacle, prepare, report, waived
from asyncnic.settings.load import load


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ({}, ""),
        ({"stack": "kernel"}, ""),
        ({"service": ("udp-discard:9", "tcp-echo:7", "http:80")}, ""),
        ({"device": "macvtap:eth0"}, ""),
        ({"stack": "mine:stack"}, "mine:stack is not ours, and may need anything"),
        ({"service": ("udp-echo:7", "mine:Factory:9")}, "mine:Factory:9 is not ours, and may need anything"),
        ({"service": ("tcp:mine:Factory:9",)}, "tcp:mine:Factory:9 is not ours, and may need anything"),
        ({"device": "qemu:tap0"}, "QEMU is started anew when it has ended"),
    ],
)
def test_by_default_it_is_around_what_is_ours(flags: dict[str, object], why: str) -> None:
    assert waived(load(flags, {}, None)) == why


@pytest.mark.parametrize("flags", [{"sandbox": "off"}, {"stack": "mine:stack"}, {"device": "qemu:tap0"}])
def test_where_there_is_none_nothing_changes(flags: dict[str, object]) -> None:
    settings = load(flags, {}, None)
    prepare(settings)
    assert enter(settings) == NONE


def test_what_this_machine_has_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load({"sandbox": "on"}, {}, None)
    assert obstacle(settings) == ""
    monkeypatch.setattr(landlock, "version", lambda: 0)
    monkeypatch.setattr(seccomp, "missing", lambda: "no library")
    with pytest.raises(SettingsError, match=r"^--sandbox on: no library; the kernel has no Landlock"):
        prepare(settings)
    with pytest.raises(SettingsError, match=r"^--sandbox on: QEMU is started anew"):
        prepare(load({"sandbox": "on", "device": "qemu:tap0"}, {}, None))


def test_capabilities_by_their_names() -> None:
    assert names(0) == "none"
    assert names(1 << NET_ADMIN | 1 << BPF) == "net_admin,bpf"
    assert names((1 << 41) - 1) == "all"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (NONE, ["no sandbox"]),
        (Sandbox("none", True, True, 7), ["sandboxed"]),
        (Sandbox("none", True, True, 0, "no Landlock"), ["sandboxed", "the sandbox is not whole"]),
    ],
)
def test_what_is_in_force_is_logged(found: Sandbox, said: list[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    report(found, load({"stack": "mine:stack"}, {}, None))
    assert [record.message for record in caplog.records if record.name == sandbox.__name__] == said
