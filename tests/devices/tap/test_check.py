"""What opening a TAP would miss, on TAPs of every state, seen by root and by a thread that has no capability."""

import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from asyncnic.devices.backend import DEVICE, PRIVILEGE, Finding
from asyncnic.devices.device import DeviceOptions
from asyncnic.devices.tap import check
from asyncnic.devices.tap.check import check_lanes, check_tap
from asyncnic.lanes.steering import QUEUE_SLACK
from asyncnic.linux.link import state
from asyncnic.linux.privileges import drop_capabilities
from asyncnic.linux.tun import attach
from asyncnic.settings.knobs import Knobs


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def options(*, host_address: str = "", mtu: int = 1500, **knobs: Any) -> DeviceOptions:
    return DeviceOptions(mac=None, mtu=mtu, host_address=host_address, memory_size=1 << 20, knobs=Knobs(**knobs))


def found(name: str, *, laned: bool = False, **more: Any) -> dict[str, Finding]:
    """By what was looked at."""
    return {finding.what: finding for finding in check_tap(name, options(**more), laned=laned)}


@contextmanager
def unprivileged() -> Iterator[Callable[..., Any]]:
    """Something that calls in a thread which has given up its capabilities; the kernel tells those of the process."""
    with ThreadPoolExecutor(1) as pool, pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "has_capability", lambda number: False)
        pool.submit(drop_capabilities).result()
        yield lambda call, *arguments, **more: pool.submit(call, *arguments, **more).result()


def test_what_is_not_there_may_be_made_by_who_may(tap_name: str) -> None:
    assert found(tap_name)[f"TAP {tap_name}: may be made"].ok
    with unprivileged() as call:
        missing = call(found, tap_name)[f"TAP {tap_name}: may be made"]
    assert (missing.ok, missing.code) == (False, PRIVILEGE)
    assert missing.fix == f"run as root, or make it beforehand: ip tuntap add {tap_name} mode tap user root"


@pytest.mark.parametrize("kind", ["tun", "veth"])
def test_what_is_no_tap_is_refused(tap_name: str, kind: str) -> None:
    if kind == "tun":
        ip("tuntap", "add", tap_name, "mode", "tun")
    else:
        ip("link", "add", tap_name, "type", "veth")
    refused = found(tap_name)[f"interface {tap_name}: a TAP"]
    assert (refused.ok, refused.code, refused.fix) == (False, DEVICE, "it is none: choose another --device")


def test_what_must_still_be_said_to_the_kernel_is_said_to_who_may_not(tap_name: str) -> None:
    ip("tuntap", "add", tap_name, "mode", "tap", "user", "root")
    assert found(tap_name, host_address="192.0.2.1/24", mtu=900)[f"TAP {tap_name}: set up"].ok
    with unprivileged() as call:
        missing = call(found, tap_name, host_address="192.0.2.1/24", mtu=900, tap_queue=77)
    assert missing[f"TAP {tap_name}: there, may be attached to"].ok
    set_up = missing[f"TAP {tap_name}: set up"]
    assert (set_up.ok, set_up.code) == (False, PRIVILEGE)
    assert set_up.fix.split("; ") == [
        f"ip link set {tap_name} mtu 900",
        f"ip link set {tap_name} txqueuelen 77",
        f"ip address add 192.0.2.1/24 dev {tap_name}",
        f"ip link set {tap_name} up",
    ]
    for command in set_up.fix.split("; "):
        ip(*command.split()[1:])
    with unprivileged() as call:
        assert call(found, tap_name, host_address="192.0.2.1/24", mtu=900, tap_queue=77)[f"TAP {tap_name}: set up"].ok


def test_a_tap_with_lanes_has_longer_queues(tap_name: str) -> None:
    ip("tuntap", "add", tap_name, "mode", "tap", "multi_queue")
    ip("link", "set", tap_name, "up")
    with unprivileged() as call:
        missing = call(found, tap_name, laned=True, tap_queue=77)[f"TAP {tap_name}: set up"]
    # Whoever may not load programs gets no lanes, and then no slack: root's thread could.
    assert missing.fix == f"ip link set {tap_name} txqueuelen 77"
    commands = check._commands(tap_name, options(tap_queue=77), state(tap_name), QUEUE_SLACK)
    assert commands == [f"ip link set {tap_name} txqueuelen {77 + QUEUE_SLACK}"]


def test_a_tap_of_somebody_else_is_theirs(tap_name: str) -> None:
    ip("tuntap", "add", tap_name, "mode", "tap", "user", "4321")
    assert found(tap_name)[f"TAP {tap_name}: there, may be attached to"].ok, "root may"
    with unprivileged() as call:
        refused = call(found, tap_name)[f"TAP {tap_name}: there, may be attached to"]
    assert (refused.ok, refused.code) == (False, PRIVILEGE)
    assert refused.fix.startswith("it belongs to uid 4321: ip tuntap del ")


def test_a_tap_in_use_is_left_alone(tap_name: str) -> None:
    descriptor = attach(tap_name)
    try:
        refused = found(tap_name)[f"TAP {tap_name}: not in use"]
    finally:
        os.close(descriptor)
    assert (refused.ok, refused.code) == (False, DEVICE)
    assert refused.fix == "another process is attached to it: stop that one, or choose another --device"


def test_the_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check._node() == Finding("/dev/net/tun: may be opened")
    node = tmp_path / "tun"
    monkeypatch.setattr(check, "TUN", node)
    assert (check._node().ok, check._node().code) == (False, DEVICE)
    assert "modprobe tun" in check._node().fix
    os.mknod(node, 0o600 | 0o020000, os.makedev(10, 255))  # nobody's: opening it finds no driver
    assert check._node() == Finding(f"{node}: opens", False, check._node().fix, DEVICE)
    assert check._node().fix.endswith(": modprobe tun")
    os.chmod(node, 0)
    with unprivileged() as call:
        closed = call(check._node)
    assert closed == Finding(f"{node}: may be opened", False, f"chmod 0666 {node}, or run as its owner", PRIVILEGE)


def test_the_lanes_that_there_will_be_and_why_there_is_one(tap_name: str) -> None:
    assert check_lanes(tap_name, options()) == Finding("lanes: control, bulk")
    assert check_lanes(tap_name, options(lane=())) == Finding("lanes: one", fix="no other is asked for")
    assert check_lanes(tap_name, options(lane=(), shed=("udp:19",))) == Finding("lanes: bulk")
    with unprivileged() as call:
        assert call(check_lanes, tap_name, options()).what == "lanes: one"
        assert "BPF" in call(check_lanes, tap_name, options()).fix
    ip("tuntap", "add", tap_name, "mode", "tap")
    one = check_lanes(tap_name, options())
    assert one.what == "lanes: one"
    assert one.fix == f"the TAP has one queue: ip tuntap add {tap_name} mode tap multi_queue user root"
