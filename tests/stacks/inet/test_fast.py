from hypothesis import given, settings
from hypothesis import strategies as st

from asyncnic.nic.burst import Burst
from asyncnic.stacks.inet.fast import Flows, udp_burst
from tests.stacks.inet.wire import BROADCAST, HOST, MAC, PEER, ipv4, packed, udp, udp4

KEY = packed(PEER) + packed(HOST) + (5000).to_bytes(2, "big") + (7).to_bytes(2, "big")
ADDRESS = (PEER, 5000)


class Handler:
    def __init__(self) -> None:
        self.received: list[tuple[bytes, tuple[object, ...]]] = []
        self.now = 0.0
        self.flows: Flows = {KEY: (self.receive, ADDRESS)}

    def receive(self, data: bytes, address: tuple[object, ...]) -> None:
        self.received.append((data, address))
        self.now += 1

    def burst(self, *frames: bytes, deadline: float = 1000) -> Burst:
        offsets = [sum(map(len, frames[:index])) for index in range(len(frames))]
        memory = memoryview(b"".join(frames))
        return Burst(memory, offsets, [len(frame) for frame in frames], deadline, lambda: self.now)


def test_a_burst_of_a_known_flow_is_delivered() -> None:
    test = Handler()
    payloads = [b"", b"1", b"22", b"3" * 18, b"4" * 1471, b"5" * 1472]
    burst = test.burst(*map(udp4, payloads))
    assert udp_burst(burst, MAC, test.flows) is False
    assert burst.taken == len(payloads)
    assert test.received == [(payload, ADDRESS) for payload in payloads]


def test_it_goes_on_where_the_burst_stands() -> None:
    test = Handler()
    burst = test.burst(udp4(b"0"), udp4(b"1"), udp4(b"2"))
    burst.taken = 2
    assert udp_burst(burst, MAC, test.flows) is False
    assert test.received == [(b"2", ADDRESS)]


def test_it_stops_when_the_time_is_up() -> None:
    test = Handler()
    burst = test.burst(*[udp4(b"")] * 5, deadline=2)
    assert udp_burst(burst, MAC, test.flows) is False
    assert burst.taken == len(test.received) == 2


def test_no_checksum_is_none_to_verify() -> None:
    test = Handler()
    burst = test.burst(ipv4(17, udp(b"none", 5000, 7, PEER, HOST, checksum=False)))
    assert udp_burst(burst, MAC, test.flows) is False
    assert test.received == [(b"none", ADDRESS)]


def test_everything_else_is_left_alone() -> None:
    sound = udp4(b"data")
    others = {
        "short": sound[:41],
        "cut": sound[:45],
        "other mac": b"\x02\0\0\0\0\x77" + sound[6:],
        "broadcast": BROADCAST + sound[6:],
        "other port": udp4(b"data", port=8),
        "other source": udp4(b"data", source="192.0.2.77"),
        "not ip": sound[:12] + b"\x08\x06" + sound[14:],
        "options": ipv4(17, udp(b"data", 5000, 7, PEER, HOST), options=b"\x01\x01\x01\x00"),
        "first fragment": ipv4(17, udp(b"data", 5000, 7, PEER, HOST), fragment=0x2000),
        "last fragment": ipv4(17, udp(b"data", 5000, 7, PEER, HOST), fragment=1),
        "reserved flag": ipv4(17, udp(b"data", 5000, 7, PEER, HOST), fragment=0x8000),
        "icmp": ipv4(1, udp(b"data", 5000, 7, PEER, HOST)),
        "octets behind": ipv4(17, udp(b"data", 5000, 7, PEER, HOST) + b"behind"),
        "header checksum": sound[:24] + bytes((sound[24] ^ 1,)) + sound[25:],
        "udp checksum": sound[:42] + b"D" + sound[43:],
    }
    for name, frame in others.items():
        test = Handler()
        burst = test.burst(sound, frame, sound)
        assert udp_burst(burst, MAC, test.flows) is True, name
        assert burst.taken == len(test.received) == 1, name


def test_dont_fragment_is_no_fragment() -> None:
    test = Handler()
    assert udp_burst(test.burst(ipv4(17, udp(b"", 5000, 7, PEER, HOST), fragment=0x4000)), MAC, test.flows) is False
    assert len(test.received) == 1


@settings(max_examples=300)
@given(st.binary(max_size=200), st.integers(0, 8 * 60 - 1))
def test_no_bit_error_passes(payload: bytes, bit: int) -> None:
    frame = bytearray(udp4(payload))
    whole = 42 + len(payload)
    frame[bit // 8] ^= 1 << bit % 8
    test = Handler()
    udp_burst(test.burst(bytes(frame)), MAC, test.flows)
    unprotected = range(6, 12)  # the sender's MAC address
    harmless = bit // 8 in unprotected or bit // 8 >= whole
    assert len(test.received) == harmless
