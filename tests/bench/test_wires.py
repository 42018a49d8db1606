"""The experiments' wires carry what the load generator sends, and nothing else."""

import socket
import subprocess
import time

import pytest

from asyncnic.bench import wires
from asyncnic.bench.offer import Offer
from asyncnic.errors import DeviceError
from tests.bench.conftest import BareTap


def test_a_tap_is_quiet(bare_tap: BareTap) -> None:
    time.sleep(0.3)
    assert bare_tap.drain() == []
    assert wires.counters(bare_tap.name).transmitted == 0


def test_a_tap_without_anybody_attached_does_not_come_up(tap_name: str) -> None:
    wires.make_tap(tap_name)
    with pytest.raises(DeviceError, match=f"^{tap_name}: no carrier after 0 s"):
        wires.wait_until_up(tap_name, seconds=0.05)


def test_an_interface_that_is_not_there() -> None:
    with pytest.raises(DeviceError, match=r"^nosuch0: no such network interface$"):
        wires.counters("nosuch0")


def test_a_name_that_is_taken(bare_tap: BareTap) -> None:
    with pytest.raises(DeviceError, match=f"^{bare_tap.name}: "):
        wires.make_tap(bare_tap.name)


def test_every_datagram_crosses_the_veth_pair_as_a_frame_of_its_own() -> None:
    with wires.FarSide("near0", "far0") as far, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((wires.RECEIVER, 9))
        before = wires.counters("near0"), far.counters()
        offer = far.run(Offer, [wires.RECEIVER, "--count", "200", "--rate", "20000"])
        offer.go()
        assert offer.result().datagrams == 200
        near, crossed = wires.counters("near0") - before[0], far.counters() - before[1]
        assert (near.received, crossed.transmitted, crossed.transmit_dropped) == (200, 200, 0)
        assert len([sock.recv(100) for _ in range(200)]) == 200
    assert subprocess.run(["ip", "link", "show", "near0"], capture_output=True, check=False).returncode == 1


def test_without_an_address_the_near_side_answers_nothing() -> None:
    with wires.FarSide("near1", "far1", addressed=False) as far:
        offer = far.run(Offer, [wires.RECEIVER, "--count", "50"])
        offer.go()
        assert offer.result().retries == 0
        assert wires.counters("near1").transmitted == 0
