"""Every message survives the way, and what is none is refused."""

from typing import get_args

import pytest

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
from asyncnic.settings.knobs import Knobs
from tests.service.workers.snapshots import snapshot

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
