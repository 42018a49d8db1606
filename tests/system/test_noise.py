"""Frames that nobody means: random octets and damaged packets on a live service. It answers still, and counts all."""

import random
from collections.abc import Iterator

import pytest

from tests.system.service import HOST, Run, program
from tests.system.test_replay import BOTH, SAMPLES
from tests.wire import Wire

FRAMES = 2000
LONGEST = 1514


def damaged(seed: int) -> Iterator[bytes]:
    """Sample frames with octets changed, cut short or doubled behind an intact target address, and plain noise."""
    chance = random.Random(seed)
    for _ in range(FRAMES):
        frame = bytearray(chance.choice(SAMPLES))
        kind = chance.randrange(5)
        if kind == 0:
            frame[12:] = chance.randbytes(chance.randrange(2, LONGEST - 12))
        elif kind == 1:
            del frame[chance.randrange(14, len(frame) + 1) :]
        elif kind == 2:
            frame += frame[14:]
        for _ in range(chance.choice((0, 1, 2, 8))):
            frame[chance.randrange(6, len(frame))] = chance.randrange(256)
        yield bytes(frame[:LONGEST])


@pytest.mark.parametrize(
    "flags",
    [
        ("--loop", "uvloop"),
        ("--loop", "asyncio"),
        ("--delivery", "queue", "--queue-limit", "16"),
        ("--overload", "drain", "--rx-ring", "4"),
        ("--rx-ring", "1"),
        ("--stack", "sink"),
    ],
    ids=" ".join,
)
def test_noise_is_survived_and_counted(run: Run, flags: tuple[str, ...]) -> None:
    with run(*flags, *BOTH) as service:
        wire = Wire(service.tap)
        wire.send(*damaged(seed=7))
        wire.close()
        stats = service.settled()
        assert stats["offered"] >= FRAMES
        assert stats["stack_failures"] == 0
        assert stats["device"]["resets"] == 0
        if "sink" not in flags:
            # Some of the noise was ARP that gave the service another address for the peer: let them meet anew.
            program("ip", "neigh", "flush", "dev", service.tap)
            program("ping", "-n", "-c", "3", "-i", "0.1", "-W", "5", HOST)
