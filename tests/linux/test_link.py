"""What is asked of a kernel interface on the loop's thread: its counters and its link, by its index."""

import os
import subprocess

import pytest

from asyncnic.errors import DeviceLost
from asyncnic.linux import tun
from asyncnic.linux.link import LinkCounters
from tests.wire import MAC, Wire, frame, make_tap


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def test_an_answer_that_was_not_waited_for_is_not_the_next_one(tap_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tap(tap_name)
    fd = tun.attach(tap_name)
    ip("link", "set", tap_name, "up")
    counters = LinkCounters(tap_name)
    with monkeypatch.context() as patch:
        patch.setattr("asyncnic.linux.link._ANSWER", -1)  # recv refuses it: the answer stays where it is
        for ask in (counters.read, counters.no_link, counters.read):
            with pytest.raises(ValueError, match="negative"):
                ask()
    wire = Wire(tap_name)
    wire.send(frame(MAC, 1))
    wire.close()
    assert os.read(fd, 2000)
    assert counters.read()[0] == 1
    assert counters.no_link() == ""
    ip("link", "set", tap_name, "down")
    assert counters.no_link() == "the interface is down"
    counters.close()
    os.close(fd)


def test_a_link_is_an_interface_that_is_up_and_has_a_carrier(tap_name: str) -> None:
    make_tap(tap_name)
    counters = LinkCounters(tap_name)
    ip("link", "set", tap_name, "down")
    assert counters.no_link() == "the interface is down"
    ip("link", "set", tap_name, "up")
    assert counters.no_link() == "the interface has no carrier"  # nobody is attached
    fd = tun.attach(tap_name)
    assert counters.no_link() == ""
    ip("link", "set", tap_name, "name", f"{tap_name}r")
    assert counters.no_link() == ""
    os.close(fd)
    ip("link", "del", f"{tap_name}r")
    for ask in (counters.no_link, counters.read):
        with pytest.raises(DeviceLost, match="deleted"):
            ask()
    counters.close()


def test_an_interface_in_another_namespace_is_gone(tap_name: str) -> None:
    make_tap(tap_name)
    counters = LinkCounters(tap_name)
    ip("netns", "add", f"{tap_name}ns")
    try:
        ip("link", "set", tap_name, "netns", f"{tap_name}ns")
        with pytest.raises(DeviceLost, match="moved"):
            counters.no_link()
    finally:
        ip("netns", "del", f"{tap_name}ns")
    counters.close()


def test_no_such_interface() -> None:
    with pytest.raises(DeviceLost):
        LinkCounters("none0")
