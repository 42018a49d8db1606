"""The life of an address: its table, and what it does on the wire."""

import asyncio

import pytest

from asyncnic.stacks.inet.life import (
    ANNOUNCE_INTERVAL,
    ANNOUNCEMENTS,
    DEFEND_INTERVAL,
    RETRY,
    Action,
    AddressLife,
    LifeState,
)
from tests.stacks.inet.wire import (
    HOST,
    HOST6,
    LOCAL6,
    PEER,
    PEER6,
    PEER_MAC,
    Bench,
    advertisement,
    arp,
    packed,
    solicitation,
    udp4,
    udp6,
)

TENTATIVE, PREFERRED, DUPLICATE = LifeState


def life(state: LifeState) -> AddressLife:
    """One that is in `state` at time 0."""
    it = AddressLife(2)
    it.begin(-10)
    if state is DUPLICATE:
        it.claimed(0)
    while it.state is not state or (state is PREFERRED and it.due is not None):
        it.tick(0)
    return it


@pytest.mark.parametrize(
    ("state", "event", "action", "then", "due"),
    [
        (TENTATIVE, "begin", Action.PROBE, TENTATIVE, 1),
        (TENTATIVE, "tick", Action.PROBE, TENTATIVE, 1),
        (TENTATIVE, "claimed", Action.NOTHING, DUPLICATE, RETRY),
        (PREFERRED, "begin", Action.PROBE, TENTATIVE, 1),
        (PREFERRED, "claimed", Action.DEFEND, PREFERRED, None),
        (DUPLICATE, "begin", Action.PROBE, TENTATIVE, 1),
        (DUPLICATE, "tick", Action.PROBE, TENTATIVE, 1),
        (DUPLICATE, "claimed", Action.NOTHING, DUPLICATE, RETRY),
    ],
)
def test_the_table(state: LifeState, event: str, action: Action, then: LifeState, due: float | None) -> None:
    it = life(state)
    assert getattr(it, event)(0) is action
    assert it.state is then
    assert it.due == due


def test_from_tentative_to_silent_use() -> None:
    it, now, said = AddressLife(2), 0.0, []
    said.append(it.begin(now))
    while it.due is not None:
        now = it.due
        said.append(it.tick(now))
    assert said == [Action.PROBE] * 2 + [Action.ANNOUNCE] * ANNOUNCEMENTS
    assert now == 2 + ANNOUNCE_INTERVAL * (ANNOUNCEMENTS - 1)


def test_without_probes_it_is_used_at_once() -> None:
    it = AddressLife(0)
    assert it.state is PREFERRED
    assert it.begin(0) is Action.ANNOUNCE
    assert it.state is PREFERRED


def test_a_defence_is_made_once_in_a_while() -> None:
    it = life(PREFERRED)
    assert [it.claimed(now) for now in (0.0, 1.0, DEFEND_INTERVAL - 0.1, DEFEND_INTERVAL)] == [
        Action.DEFEND,
        Action.NOTHING,
        Action.NOTHING,
        Action.DEFEND,
    ]


class Told(Bench):
    """A host whose changes of addresses are written down."""

    def __init__(self, *addresses: str, dad: int = 1) -> None:
        self.changes: list[tuple[str, str, str]] = []
        super().__init__(*addresses, dad=dad)

    def changed(self, address: str, state: str, claimant: str) -> None:
        self.changes.append((address, state, claimant))


def probes(frames: list[bytes]) -> list[bytes]:
    return [frame for frame in frames if frame[54] == 135 and not any(frame[22:38])]


def said(frame: bytes) -> str | int:
    """ARP, or the ICMPv6 type of a message, which listener reports have behind a hop-by-hop header."""
    return "ARP" if frame[12:14] == b"\x08\x06" else frame[54] if frame[20] == 58 else frame[62]


def test_our_own_solicitation_that_comes_back_costs_nothing() -> None:
    """A hairpin gives back what we send: known by our MAC address, or by its nonce (RFC 7527) if that was changed."""
    bench = Told(HOST6 + "/64")
    bench.inet.start(bench.now)
    asked = probes(bench.replies())
    assert len(asked) == 2
    assert bench.feed(*asked) == {("ethernet", "looped"): 2}
    assert bench.feed(*(frame[:6] + PEER_MAC + frame[12:] for frame in asked)) == {
        ("icmpv6", "neighbour_solicitation"): 2
    }
    bench.pass_time(1)
    assert set(bench.inet.addresses().values()) == {"preferred"}
    assert bench.inet.totals.duplicate_addresses == 0


def test_another_s_solicitation_with_a_nonce_costs_the_address() -> None:
    bench = Told(HOST6 + "/64")
    bench.feed(solicitation(HOST6, "::", mac=None))
    assert bench.inet.addresses() == {LOCAL6: "tentative", HOST6: "duplicate"}
    assert bench.changes == [(HOST6, "duplicate", PEER_MAC.hex(":"))]


def test_a_lost_address_is_told_counted_and_tried_again() -> None:
    bench = Told(HOST6 + "/64")
    bench.feed(advertisement(HOST6, "ff02::1", flags=0x20))
    bench.pass_time(1)
    assert bench.inet.trouble() == f"address {HOST6} is in use by {PEER_MAC.hex(':')}"
    assert bench.inet.totals.addresses_lost == 1
    assert bench.feed(udp6(b"")) == {("ipv6", "not_ours"): 1}
    bench.replies()
    bench.pass_time(RETRY)
    assert len(probes(bench.replies())) == 1
    bench.pass_time(1)
    assert bench.inet.trouble() == ""
    assert bench.feed(udp6(b"")) == {("udp", "no_listener"): 1}
    assert [change[:2] for change in bench.changes] == [
        (HOST6, "duplicate"),
        (LOCAL6, "preferred"),
        (HOST6, "tentative"),
        (HOST6, "preferred"),
    ]


@pytest.mark.parametrize(
    ("own", "claim", "defence"),
    [(HOST, arp(1, HOST, PEER), b"\x08\x06"), (HOST6, advertisement(HOST6, "ff02::1", flags=0x20), b"\x86\xdd")],
)
def test_an_address_in_use_is_defended_and_kept(own: str, claim: bytes, defence: bytes) -> None:
    bench = Told(own + ("/64" if ":" in own else "/24"), dad=0)
    bench.changes.clear()
    bench.feed(claim, claim)
    assert bench.reply()[12:14] == defence
    assert bench.changes == [(own, "defended", PEER_MAC.hex(":"))]
    assert bench.inet.trouble() == ""
    assert bench.inet.totals.duplicate_addresses == 2
    assert bench.inet.totals.addresses_lost == 0


def test_after_the_link_is_back_everything_is_said_again() -> None:
    bench = Told(HOST + "/24", HOST6 + "/64")
    bench.pass_time(1)
    bench.pass_time(2)
    bench.replies()
    bench.inet.start(bench.now)
    assert [said(frame) for frame in bench.replies()] == ["ARP", 143, 135, 135]
    assert bench.inet.addresses()[HOST6] == "tentative"
    bench.pass_time(1)
    then = [said(frame) for frame in bench.replies()]
    assert then.count(136) == 2  # unsolicited advertisements
    assert 143 in then  # and the groups once more, from the link-local address
    assert set(bench.inet.addresses().values()) == {"preferred"}


async def test_what_is_remembered_of_an_address_goes_when_it_changes() -> None:
    bench = Told(HOST6 + "/64", HOST + "/24")
    await bench.inet.create_datagram_endpoint(asyncio.DatagramProtocol, ("0.0.0.0", 7))
    bench.feed(udp4(b""))
    assert bench.inet.udp.flows
    assert bench.inet.v6.addresses.source_for(packed(PEER6)) is None
    bench.pass_time(1)
    assert not bench.inet.udp.flows
    assert bench.inet.v6.addresses.source_for(packed(PEER6)) == packed(HOST6)
