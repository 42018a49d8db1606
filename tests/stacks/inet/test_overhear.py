"""Hosts that share addresses (workers of one service): which frames they tell each other of, and what they learn."""

import pytest

from asyncnic.stacks.inet.outcomes import PASSED_ON
from tests.stacks.inet.wire import (
    HOST,
    HOST6,
    PEER,
    PEER6,
    PEER_MAC,
    Bench,
    advertisement,
    arp,
    echo4,
    ipv4,
    packed,
    solicitation,
    udp4,
)


def passed_on(*frames: bytes) -> list[bytes]:
    """What a host passes on of these frames."""
    bench, heard = Bench(), []
    bench.inet.connect(lambda frame: heard.append(bytes(frame)))
    bench.know_peers()
    heard.clear()
    bench.feed(*frames)
    return heard


def test_answers_are_passed_on_and_questions_are_not() -> None:
    answers = [arp(2, PEER, HOST), advertisement(PEER6), arp(1, PEER, PEER)]
    questions = [arp(1, PEER, HOST), solicitation(HOST6), ipv4(1, echo4(b"ping")), udp4(b"data")]
    assert passed_on(*answers, *questions) == answers


@pytest.mark.parametrize(
    ("address", "answer"), [(PEER, arp(2, PEER, HOST)), (PEER6, advertisement(PEER6))], ids=["arp", "nd"]
)
def test_an_answer_that_went_to_another_host_resolves_the_neighbour(address: str, answer: bytes) -> None:
    bench = Bench()
    hops = (bench.inet.v4 if "." in address else bench.inet.v6).hops
    hops.send(packed(address), (b"waits for an answer",), bench.now)
    bench.sent.clear()
    bench.inet.overhear(answer)
    assert hops.neighbours.lookup(packed(address)) == PEER_MAC
    assert [frame[14:33] for frame in bench.sent] == [b"waits for an answer"]
    bench.check()  # it was no frame of this host's: no outcome counts it


def test_what_is_overheard_is_never_answered_or_passed_on() -> None:
    bench, heard = Bench(), []
    bench.inet.connect(lambda frame: heard.append(bytes(frame)))
    bench.know_peers()
    heard.clear()
    for frame in (arp(2, PEER, HOST), arp(1, PEER, PEER), advertisement(PEER6)):
        bench.inet.overhear(frame)
    assert bench.replies() == []
    assert heard == []


def test_no_question_is_among_what_is_passed_on() -> None:
    assert not [outcome for outcome in PASSED_ON if "REQUEST" in outcome.name or "SOLICITATION" in outcome.name]
