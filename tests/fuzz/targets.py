"""What is fuzzed, by entry point: each target with its invariant in one sentence, its seeds, and one trial.

A trial takes arbitrary octets and raises when the invariant does not hold. Nothing here mutates or runs anything:
fuzz.py does with atheris, and test_fuzz.py plays seeds and findings.
"""

import io
import struct
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from asyncnic import pcapng
from asyncnic.devices.pcap.capture_file import CaptureFile
from asyncnic.errors import SettingsError
from asyncnic.faults.plan import plan
from asyncnic.lanes.program import filter_program, steering_program
from asyncnic.lanes.rules import parse_lanes, parse_shed
from asyncnic.pcnet32 import registers as reg
from asyncnic.pcnet32.descriptors import ENP, OWN, STP, InitBlock
from asyncnic.pcnet32.driver.driver import Layout
from asyncnic.pcnet32.driver.receive_ring import ReceiveRing
from asyncnic.pcnet32.memory import DmaMemory
from asyncnic.pcnet32.model.chip import Am79C970A
from asyncnic.settings.load import load
from asyncnic.web.security import load_access
from tests.fuzz import streams
from tests.fuzz.answers import answer_seeds, answers
from tests.fuzz.http import http, http_seeds
from tests.stacks.inet import wire as frames

MAC = bytes.fromhex("020000000002")


@dataclass(frozen=True)
class Target:
    """One entry point.

    Attributes:
        holds: what must hold for any input, in one sentence.
        trial: one input; raises when it does not.
        seeds: to begin with.
        trials: in a bounded run, the same each time: what is new is for the command to find, and not for whoever
            changes something else.
    """

    holds: str
    trial: Callable[[bytes], None]
    seeds: Sequence[bytes]
    trials: int = 2000


def descriptors(data: bytes) -> None:
    """Words of a ring, and how much of each burst is handed back."""
    size = 8
    layout = Layout.of(size, 1)
    memory = DmaMemory.anonymous(layout.size)
    ring = ReceiveRing(memory, layout.rx_ring, layout.rx_buffers, layout.scratch, size, 1518)
    ring.arm_all()
    start, at, units = layout.rx_ring // 4, 0, 0
    while at + 12 <= len(data):
        status, count = struct.unpack_from("<II", data, at)
        index, taken = data[at + 8] % size, data[at + 9]
        memory.words[start + 4 * index + 1] = status
        memory.words[start + 4 * index + 2] = count
        at += 12
        offsets, lengths = ring.collect(taken % (size + 1) + 1)
        for offset, length in zip(offsets, lengths, strict=True):
            assert 60 <= length <= 1518
            assert 0 <= offset <= len(memory.octets) - length
        ring.leave(min(taken & 7, len(offsets)))
        if data[at - 2] & 1:
            ring.resync()
        counters = ring.counters
        lost = counters.error_descriptor + counters.buffer + counters.length + counters.no_start + counters.oversize
        units += min(taken & 7, len(offsets))
        assert counters.seen == units + lost
        assert ring.finished() + ring.card_descriptors() <= size


def chip(data: bytes) -> None:
    """Register accesses, octets of memory (init block, rings) and frames, in any order."""
    memory = DmaMemory.anonymous(1 << 16)
    card = Am79C970A(memory, MAC, lambda frame: True)
    wire = [bytes(60), MAC + bytes(54), b"\xff" * 80, MAC + bytes(1600), MAC + bytes(5000)]
    at = 0
    while at + 8 <= len(data):
        kind, place, value = data[at] % 8, data[at + 1], int.from_bytes(data[at + 2 : at + 6], "little")
        at += 8
        width = (1, 2, 4)[place % 3]
        if kind < 3:
            card.write((place // 3) % 32, width, value)
        elif kind == 3:
            card.read((place // 3) % 32, width)
        elif kind == 4:
            length = min(28, len(data) - at)
            memory.octets[256 * place : 256 * place + length] = data[at : at + length]
        elif kind == 5:
            card.receive(wire[place % len(wire)])
        elif kind == 6:
            waiting = [wire[(place + step) % len(wire)] for step in range(8)]

            def read(view: memoryview, waiting: list[bytes] = waiting) -> int:
                if not waiting:
                    return 0
                one = waiting.pop()[: len(view)]
                view[: len(one)] = one
                return len(one)

            (card.drain if value & 1 else card.fill)(read, 8)
        else:
            card.demand()
            card.poll()
    counters = card.counters
    assert counters.read == counters.stored + counters.filtered + counters.missed + counters.discarded


def capture(data: bytes) -> None:
    """A capture file."""
    try:
        found = CaptureFile(io.BytesIO(data))
    except ValueError as error:
        one_line(str(error))
        return
    total = sum(len(frame) for frame in found)
    assert total <= len(data)
    one_line(found.damage)


def toml(data: bytes) -> None:
    """A settings file."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "asyncnic.toml"
        path.write_bytes(data)
        try:
            settings = load({}, {}, path)
        except SettingsError as error:
            one_line(str(error).replace(directory, ""))
            return
        settings.knobs()
        assert load({}, {}, path) == settings
        tomllib.loads(data.decode())


def web_config(data: bytes) -> None:
    """A web config."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "web.yml"
        path.write_bytes(data)
        try:
            load_access(str(path), f"--web-config {path}")
        except SettingsError as error:
            one_line(str(error))


def rules(data: bytes) -> None:
    """Rules of lanes and of what is shed, and faults, one a line, which an error may quote twice."""
    lines = [line[:100] for line in data.decode("utf-8", "replace").split("\n")[:8]]
    for make in (
        lambda: steering_program(parse_lanes(lines)),
        lambda: filter_program([(rule, index) for index, rule in enumerate(parse_shed(lines))], 3),
        lambda: plan(lines),
    ):
        try:
            make()
        except ValueError as error:
            one_line(str(error))


def one_line(text: str) -> None:
    """What is said to a user: one printable line of bounded length."""
    assert text.isprintable(), text
    assert len(text) < 1000, text


def _capture_seeds() -> list[bytes]:
    frame = frames.udp4(b"hello")
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    record = struct.pack("<IIII", 1, 2, len(frame), len(frame)) + frame
    blocks = pcapng.section_header("seed") + pcapng.interface("eth0") + pcapng.packet(0, frame)
    return [head + record * 2, blocks * 2, blocks[:-3]]


def _ring_seeds() -> list[bytes]:
    whole = struct.pack("<IIBBH", STP | ENP | 0xF7FF & 0xFFFF, 64, 0, 1, 0)
    start = struct.pack("<IIBBH", STP, 64, 1, 1, 0) + struct.pack("<IIBBH", ENP, 2100, 2, 1, 0)
    return [whole, whole + start, struct.pack("<IIBBH", OWN, 0, 3, 9, 1) * 3]


def _chip_seeds() -> list[bytes]:
    block = InitBlock(0, MAC, 0, 0x0010_1000, 0x0010_2000, 2, 2).pack()
    poke = bytes((4, 0, 0, 0, 0, 0, 0, 0)) + block + bytes(4)

    def write(offset: int, value: int) -> bytes:
        return bytes((0, offset * 3 + 1)) + value.to_bytes(4, "little") + bytes(2)

    def csr(number: int, value: int) -> bytes:
        return write(reg.WIO_RAP, number) + write(reg.WIO_RDP, value)

    up = csr(1, 0) + csr(2, 0x10) + csr(0, reg.CSR0_INIT) + csr(0, reg.CSR0_STRT | reg.CSR0_INEA)
    return [poke + up + bytes((5, 1, 0, 0, 0, 0, 0, 0)) + bytes((6, 1, 1, 0, 0, 0, 0, 0))]


TARGETS = {
    "inet": Target(
        "any frame has exactly one outcome, and what is answered is sound", streams.inet, streams.inet_seeds()
    ),
    "tcp": Target(
        "any segments to and in connections have one outcome each, and connections stay within their limits",
        streams.tcp,
        streams.tcp_seeds(),
    ),
    "fragments": Target(
        "any fragments have one outcome each, and no more are kept than may be",
        streams.fragments,
        streams.fragment_seeds(),
    ),
    "descriptors": Target("any words in a ring are frames within memory or counted losses", descriptors, _ring_seeds()),
    "chip": Target("any registers and init block leave the chip's counts balanced", chip, _chip_seeds()),
    "capture": Target("any file is frames, or one line that says what is wrong", capture, _capture_seeds()),
    "settings": Target(
        "any file is settings, or one line that says what is wrong",
        toml,
        [
            b'device = "tap:a0"\nmtu = 1400\naddress = ["2001:db8::2/64"]\n',
            b'shed = ["udp:19"]\nlane = ["a=udp:7"]\nlane_weight = ["a=3"]\nrx_budget = "auto"\nfault = ["drop=1%"]\n',
            b'listen = "[::1]:80"\nenable_lifecycle = true\nrx_time_budget = "5ms"\n',
        ],
    ),
    "web config": Target(
        "any file is a web config, or one line that says what is wrong",
        web_config,
        [
            b"basic_auth_users:\n  a: $2b$04$abcdefghijklmnopqrstuuJ8Zc9v0m8yN5wq3nZ6c0v3k5b5V5Q5m\n",
            b"tls_server_config:\n  cert_file: a\n  key_file: b\nhttp_server_config:\n  headers: {X-A: b}\n",
        ],
    ),
    "rules": Target(
        "any text is rules and programs, or one line that says what is wrong",
        rules,
        [
            b"udp:19",
            b"a=udp:53,tcp:22\nb=src:192.0.2.0/24,icmp",
            b"ether:0x88cc\nvlan:5\nicmpv6",
            b"drop=1%\ndelay=5ms",
        ],
    ),
    "answers": Target(
        "whatever a broker answers, its sink notices the end and has every datagram in one place",
        answers,
        answer_seeds(),
        trials=100,
    ),
    "http": Target("any request is answered by the HTTP API without an error of its own", http, http_seeds()),
}
"""Every target by its name."""
