"""Every message survives the way, and what is none is refused."""

from dataclasses import replace
from typing import get_args

import pytest

from asyncnic.service.workers.channel import LARGEST
from asyncnic.service.workers.messages import (
    Answer,
    Ask,
    Failure,
    Frame,
    Hold,
    Message,
    Queues,
    Ready,
    Resume,
    Start,
    Stop,
    Turn,
    decode,
    encode,
)
from asyncnic.service.workers.snapshot import MOST_SOCKETS, Snapshot
from asyncnic.settings.knobs import Knobs
from asyncnic.stacks.stack import Socket, Sockets
from tests.service.workers.snapshots import counted, snapshot

MESSAGES: list[Message] = [
    Start(1, {"device": "tap:t0"}, Knobs(target_lag=0.0000004, lane=("control=arp",))),
    Ask(7, True),
    Hold(8),
    Stop(9),
    Resume(),
    Turn(Knobs(rx_budget=3)),
    Queues(),
    Frame(bytes(range(256))),
    Ready(),
    Answer(7, snapshot(10, 7, 2, 1)),
    Failure("no such stack"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_survives_the_way(message: Message) -> None:
    assert decode(encode(message)) == message


def test_the_table_has_every_message() -> None:
    assert {type(message) for message in MESSAGES} == set(get_args(Message))


@pytest.mark.parametrize("octets", [b"", b"Ask", b"Ask {", b"Nothing {}", b'Ask {"number": "x"}', b"\xff {}"])
def test_what_is_no_message_is_refused(octets: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(octets)


def test_an_answer_with_as_many_sockets_as_a_worker_lists_fits_into_a_message() -> None:
    details: dict[str, int | float | str] = {f"name_of_detail_{number}": 123456.789012 for number in range(12)}
    one = Socket("tcp", "syn-received", 1 << 30, 1 << 30, f"[{'ffff:' * 7}ffff]:65535", "[::1]:65535", details)
    most = replace(
        snapshot(10, 10).standing,
        sockets=Sockets([one] * 2 * MOST_SOCKETS).first(MOST_SOCKETS),
        ring_words={ring: [(0xFFFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFFF)] * 512 for ring in ("rx", "tx")},
    )
    said = Answer(1, Snapshot(counted(10, 10), most))
    assert len(encode(said)) < LARGEST
    assert decode(encode(said)) == said
