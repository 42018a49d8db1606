"""The other end of a TAP's wire: frames offered and received through an AF_PACKET socket on the host's side."""

import socket
import subprocess

from asyncnic.nic.nic import Nic

ETH_P_ALL = 3
MAC = bytes.fromhex("020000000002")
"""The station address of the nics under test."""
HOST = bytes.fromhex("02000000aaaa")


def frame(destination: bytes, number: int = 0, size: int = 60) -> bytes:
    """A frame of `size` octets (60 or more) of an experimental type (88B5) that carries `number`."""
    return (destination + HOST + b"\x88\xb5" + number.to_bytes(4, "big")).ljust(size, b"\0")


def number_of(octets: bytes | memoryview) -> int:
    """The number that `frame` put in."""
    return int.from_bytes(octets[14:18], "big")


class Wire:
    """The host's side of the TAP `name`; what the kernel itself would say on it (IPv6) is kept quiet."""

    def __init__(self, name: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.bind((name, ETH_P_ALL))
        self._socket.settimeout(2.0)

    def send(self, *frames: bytes) -> None:
        """Offer frames on the wire, in order."""
        for one in frames:
            self._socket.send(one)

    def receive(self) -> bytes:
        """The next frame that came off the wire towards the host; what we sent ourselves is passed over.

        Raises:
            TimeoutError: none came within 2 s.
        """
        while True:
            octets, address = self._socket.recvfrom(65536)
            if address[2] != socket.PACKET_OUTGOING:
                return octets

    def close(self) -> None:
        self._socket.close()


def keep_quiet(name: str) -> None:
    """Keep the host's kernel from sending anything of its own on the interface `name`."""
    subprocess.run(["sysctl", "-qw", f"net.ipv6.conf.{name}.disable_ipv6=1"], check=True)


def make_tap(name: str, *, user: str = "root") -> None:
    """Make a persistent TAP that is up and quiet."""
    subprocess.run(["ip", "tuntap", "add", name, "mode", "tap", "user", user], check=True)
    keep_quiet(name)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)


def assert_law(nic: Nic, *, offered: int) -> None:
    """The conservation law holds, and the wire was offered exactly so many frames."""
    ledger = nic.ledger()
    assert ledger.imbalance == 0, ledger
    assert ledger.offered == offered
