"""Frames built by hand, and a host without a wire to feed them to. No code of the stack: it would share its bugs."""

import struct
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface

from asyncnic.hot.transmit import TransmitSlots
from asyncnic.nic.burst import Burst
from asyncnic.stacks.inet.outcomes import LABELS
from asyncnic.stacks.inet.prefixes import AnyHosts
from asyncnic.stacks.inet.stack import NO_HOSTS, Inet
from tests.trust import account

MAC = bytes.fromhex("02000000000a")
PEER_MAC = bytes.fromhex("02000000000b")
ROUTER_MAC = bytes.fromhex("0200000000fe")
BROADCAST = b"\xff" * 6
HOST, PEER, FAR = "192.0.2.2", "192.0.2.1", "198.51.100.7"
HOST6, PEER6, FAR6 = "2001:db8::2", "2001:db8::1", "2001:db8:ffff::7"
LOCAL6, PEER_LOCAL6 = "fe80::ff:fe00:a", "fe80::ff:fe00:b"
STRIDE = 2048


def sum_of(data: bytes) -> int:
    """RFC 1071 word by word, with end-around carry."""
    total = 0
    for index in range(0, len(data), 2):
        total += data[index] << 8 | (data[index + 1] if index + 1 < len(data) else 0)
        total = (total & 0xFFFF) + (total >> 16)
    return total


def filled(data: bytes, at: int, covered: bytes = b"") -> bytes:
    """`data` with the checksum of `covered` and itself at offset `at`, where it holds zero."""
    return data[:at] + struct.pack("!H", ~sum_of(covered + data) & 0xFFFF) + data[at + 2 :]


def packed(address: str) -> bytes:
    return ip_address(address).packed


def pseudo(source: str, target: str, protocol: int, length: int) -> bytes:
    form = "!HH" if isinstance(ip_address(source), IPv4Address) else "!IxxxB"
    order = (protocol, length) if form == "!HH" else (length, protocol)
    return packed(source) + packed(target) + struct.pack(form, *order)


def ethernet(kind: int, payload: bytes, target: bytes = MAC, source: bytes = PEER_MAC) -> bytes:
    return (target + source + struct.pack("!H", kind) + payload).ljust(60, b"\0")


def ipv4(
    protocol: int,
    payload: bytes,
    source: str = PEER,
    target: str = HOST,
    *,
    mac: bytes = MAC,
    fragment: int = 0,
    identification: int = 1,
    options: bytes = b"",
    source_mac: bytes = PEER_MAC,
) -> bytes:
    size = 20 + len(options)
    fields = 0x40 | size // 4, 0, size + len(payload), identification, fragment, 64, protocol, 0
    head = struct.pack("!BBHHHBBH", *fields) + packed(source) + packed(target) + options
    return ethernet(0x0800, filled(head, 10) + payload, mac, source_mac)


def ipv6(
    protocol: int,
    payload: bytes,
    source: str = PEER6,
    target: str = HOST6,
    *,
    mac: bytes = MAC,
    hop_limit: int = 64,
    source_mac: bytes = PEER_MAC,
) -> bytes:
    head = struct.pack("!IHBB", 6 << 28, len(payload), protocol, hop_limit) + packed(source) + packed(target)
    return ethernet(0x86DD, head + payload, mac, source_mac)


def udp(data: bytes, source_port: int, port: int, source: str, target: str, *, checksum: bool = True) -> bytes:
    plain = struct.pack("!HHHH", source_port, port, 8 + len(data), 0) + data
    return filled(plain, 6, pseudo(source, target, 17, len(plain))) if checksum else plain


def udp4(data: bytes, source_port: int = 5000, port: int = 7, source: str = PEER, target: str = HOST) -> bytes:
    return ipv4(17, udp(data, source_port, port, source, target), source, target)


def udp6(data: bytes, source_port: int = 5000, port: int = 7, source: str = PEER6, target: str = HOST6) -> bytes:
    return ipv6(17, udp(data, source_port, port, source, target), source, target)


def echo4(data: bytes, kind: int = 8) -> bytes:
    return filled(struct.pack("!BBHHH", kind, 0, 0, 0x1234, 1) + data, 2)


def icmp6(kind: int, code: int, body: bytes, source: str = PEER6, target: str = HOST6) -> bytes:
    plain = bytes((kind, code, 0, 0)) + body
    return filled(plain, 2, pseudo(source, target, 58, len(plain)))


def arp(operation: int, sender: str, wanted: str, mac: bytes = PEER_MAC, target: bytes = BROADCAST) -> bytes:
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    return ethernet(0x0806, head + mac + packed(sender) + bytes(6) + packed(wanted), target, mac)


def solicited(address: str) -> str:
    return str(IPv6Address(packed("ff02::1:ff00:0")[:13] + packed(address)[13:]))


def group_mac(group: str) -> bytes:
    return b"\x33\x33" + packed(group)[12:]


def solicitation(wanted: str, source: str = PEER6, *, mac: bytes | None = PEER_MAC, hop_limit: int = 255) -> bytes:
    group = solicited(wanted)
    option = b"" if mac is None else b"\x01\x01" + mac
    message = icmp6(135, 0, bytes(4) + packed(wanted) + option, source, group)
    return ipv6(58, message, source, group, mac=group_mac(group), hop_limit=hop_limit)


def advertisement(address: str, target: str = HOST6, *, flags: int = 0x60, mac: bytes = PEER_MAC) -> bytes:
    to = group_mac(target) if target.startswith("ff") else MAC
    message = icmp6(136, 0, bytes((flags, 0, 0, 0)) + packed(address) + b"\x02\x01" + mac, address, target)
    return ipv6(58, message, address, target, mac=to, hop_limit=255)


def burst_of(frames: Sequence[bytes], deadline: float, clock: Callable[[], float]) -> Burst:
    """Frames in slots of one memory, as a ring has them, with what was there before behind each."""
    stride = max(STRIDE, *map(len, frames)) if frames else STRIDE
    memory = bytearray(b"\xee" * (stride * len(frames)))
    for index, frame in enumerate(frames):
        memory[index * stride : index * stride + len(frame)] = frame
    offsets = [index * stride for index in range(len(frames))]
    return Burst(memoryview(memory), offsets, [len(frame) for frame in frames], deadline, clock)


class Bench:
    """An `Inet` with a clock set by hand and a transmit ring of `room` frames (None: endless).

    `plain`: without addresses where none is given.
    """

    def __init__(
        self,
        *addresses: str,
        mtu: int = 1500,
        gateways: tuple[str, ...] = (),
        dad: int = 0,
        slots: TransmitSlots | None = None,
        hosts: AnyHosts = NO_HOSTS,
        plain: bool = False,
    ) -> None:
        self.now = 1000.0
        self.sent: list[bytes] = []
        self.room: int | None = None
        self.full = 0
        self.taken = 0
        self.inet = Inet(
            [ip_interface(address) for address in addresses or (() if plain else (HOST + "/24", HOST6 + "/64"))],
            MAC,
            mtu,
            self._send,
            lambda: self.now,
            [ip_address(gateway) for gateway in gateways],
            self._no_room,
            dad,
            changed=self.changed,
            slots=slots,
            hosts=hosts,
        )
        self.inet.start(self.now)
        if not dad:  # settled: whatever is announced and reported more than once has been
            for _ in range(10):
                self.pass_time(1)
        self.sent.clear()

    def _send(self, frame: bytes) -> bool:
        if self.room is not None:
            if self.room == 0:
                return False
            self.room -= 1
        assert len(frame) <= 14 + 65535
        self.sent.append(frame)
        return True

    def changed(self, address: str, state: str, claimant: str) -> None:
        """Something became of an address."""

    def _no_room(self) -> None:
        self.full += 1

    def burst(self, *frames: bytes, deadline: float = float("inf")) -> Burst:
        return burst_of(frames, deadline, lambda: self.now)

    def feed(self, *frames: bytes) -> dict[tuple[str, str], int]:
        """Feed frames as one burst; the outcomes it added, after checking that they account for every frame taken."""
        before = self.counts()
        burst = self.burst(*frames)
        self.inet.input(burst)
        assert burst.taken == len(frames)
        self.taken += burst.taken
        self.check()
        return {label: count - before[label] for label, count in self.counts().items() if count != before[label]}

    def counts(self) -> dict[tuple[str, str], int]:
        outcomes = self.inet.outcomes()
        return {label: outcomes[label[0]][label[1]] for label in LABELS}

    def check(self) -> None:
        unaccounted = self.taken - sum(self.counts().values())
        account(self, lambda: unaccounted)
        assert not unaccounted

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.inet.poll(self.now)

    def replies(self) -> list[bytes]:
        """What was sent since the last call, checked for sound lengths and checksums."""
        frames, self.sent = self.sent, []
        for frame in frames:
            verify(frame)
        return frames

    def reply(self) -> bytes:
        (frame,) = self.replies()
        return frame

    def know_peers(self) -> None:
        """Let the peers be resolved, so that nothing asked for them is in the way."""
        self.feed(arp(1, PEER, HOST), solicitation(HOST6), solicitation(HOST6, PEER_LOCAL6))
        self.replies()


def verify(frame: bytes) -> None:
    """Fail unless the frame's checksums and lengths are right, as another host would see it."""
    kind, packet = struct.unpack_from("!H", frame, 12)[0], frame[14:]
    assert frame[6:12] == MAC
    if kind == 0x0800:
        assert packet[0] == 0x45
        total, fragment = struct.unpack_from("!H", packet, 2)[0], struct.unpack_from("!H", packet, 6)[0]
        assert total == len(packet)
        assert sum_of(packet[:20]) == 0xFFFF
        covered = b"" if packet[9] == 1 else packet[12:20] + struct.pack("!HH", packet[9], total - 20)
        if not fragment & 0x3FFF:
            assert sum_of(covered + packet[20:]) == 0xFFFF
    elif kind == 0x86DD:
        length, protocol = struct.unpack_from("!H", packet, 4)[0], packet[6]
        assert length + 40 == len(packet)
        body = packet[40:]
        if protocol == 0:  # hop-by-hop: listener reports
            protocol, body = body[0], body[8:]
        if protocol in (6, 17, 58):
            assert sum_of(packet[8:40] + struct.pack("!IxxxB", len(body), protocol) + body) == 0xFFFF
    else:
        assert kind == 0x0806
