"""Hosts by the prefix: every address is ours, none is enumerated, and none is taken from another host."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from asyncnic.stacks.inet.outcomes import Totals
from asyncnic.stacks.inet.peer import Peer
from asyncnic.stacks.inet.prefixes import FORGET, INTERVAL, PROBES, AnyHosts, Prefixes
from asyncnic.stacks.inet.services import UdpEcho
from tests.stacks.inet.wire import (
    HOST,
    HOST6,
    MAC,
    PEER,
    PEER6,
    PEER_MAC,
    ROUTER_MAC,
    Bench,
    advertisement,
    arp,
    echo4,
    icmp6,
    ipv4,
    ipv6,
    packed,
    solicitation,
    udp,
)

NET, NET6 = "203.0.112.0/20", "2001:db8:a::/48"
ANY = AnyHosts((ip_network(NET), ip_network(NET6)), 8)
FAR, FAR6 = "198.51.100.7", "2001:db8:ffff::7"
FAMILIES = {4: (NET, FAR, "203.0.115.77"), 6: (NET6, FAR6, "2001:db8:a:77::9")}
PROBE_SECONDS = PROBES * INTERVAL


def datagram(target: str, source: str = FAR, port: int = 7, data: bytes = b"hello") -> bytes:
    """A datagram that the router brings, from a host elsewhere."""
    make = ipv6 if ":" in target else ipv4
    return make(17, udp(data, 5000, port, source, target), source, target, source_mac=ROUTER_MAC)


def ping(target: str, source: str) -> bytes:
    if ":" in target:
        return ipv6(58, icmp6(128, 0, b"\0\1\0\1data", source, target), source, target, source_mac=ROUTER_MAC)
    return ipv4(1, echo4(b"data"), source, target, source_mac=ROUTER_MAC)


def source_of(frame: bytes) -> str:
    return str(ip_address(frame[22:38] if frame[12:14] == b"\x86\xdd" else frame[26:30]))


def bench(hosts: AnyHosts = ANY, *own: str) -> Bench:
    return Bench(*(own or (f"{HOST}/24", f"{HOST6}/64")), hosts=hosts)


@pytest.mark.parametrize("family", [4, 6])
def test_every_address_answers_a_ping_that_is_routed_to_it(family: int) -> None:
    net, far, _ = FAMILIES[family]
    network, tried = ip_network(net), bench()
    for number in (0, 1, 255, 256, network.num_addresses // 2, network.num_addresses - 1):
        target = str(network[number])
        tried.feed(ping(target, far))
        answer = tried.reply()
        assert (source_of(answer), answer[:6]) == (target, ROUTER_MAC)
    for outside in (network.network_address - 1, network.broadcast_address + 1):
        assert set(tried.feed(ping(str(outside), far))) == {(f"ipv{family}", "not_ours")}
    assert tried.replies() == []


@pytest.mark.parametrize("own", [(), ("192.0.2.2/24", "2001:db8::2/64")], ids=["prefixes alone", "beside addresses"])
@pytest.mark.parametrize("family", [4, 6])
async def test_the_wildcard_gets_what_comes_to_any_of_them_and_answers_from_there(
    family: int, own: tuple[str, ...]
) -> None:
    _, far, target = FAMILIES[family]
    tried = Bench(*own, hosts=ANY, plain=not own)
    heard: list[Any] = []

    class Remembering(UdpEcho):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            heard.append(addr)
            super().datagram_received(data, addr)

    await tried.inet.create_datagram_endpoint(Remembering, ("0.0.0.0" if family == 4 else "::", 7))
    tried.feed(datagram(target, far), datagram(target, far))
    assert [source_of(frame) for frame in tried.replies()] == [target, target]
    assert isinstance(heard[0], Peer)
    assert [addr.local[:2] for addr in heard] == [(target, 7)] * 2


# -- On the link ------------------------------------------------------------------------------------------------------

ASKER, ASKER6 = "203.0.112.1", "2001:db8:a::1"


def asks(family: int, wanted: str) -> bytes:
    return arp(1, ASKER, wanted) if family == 4 else solicitation(wanted, ASKER6)


def says(family: int, address: str) -> bytes:
    """Another host has an address."""
    other = bytes.fromhex("020000000077")
    if family == 4:
        return arp(2, address, ASKER, other, MAC)
    return advertisement(address, "ff02::1", flags=0x20, mac=other)


def questions(frames: list[bytes], wanted: str) -> int:
    """How many of the frames ask whether somebody has an address."""
    return sum(
        frame[12:14] == b"\x08\x06"
        and frame[20:22] == b"\0\1"
        and frame[28:32] == bytes(4)
        and frame[38:42] == packed(wanted)
        if "." in wanted
        else frame[54] == 135 and frame[22:38] == bytes(16) and frame[62:78] == packed(wanted)
        for frame in frames
    )


def answers(frames: list[bytes], wanted: str) -> int:
    """How many say that an address is ours."""
    return sum(
        frame[12:14] == b"\x08\x06"
        and frame[20:22] == b"\0\2"
        and frame[28:32] == packed(wanted)
        and frame[22:28] == MAC
        if "." in wanted
        else frame[54] == 136 and frame[62:78] == packed(wanted)
        for frame in frames
    )


@pytest.mark.parametrize("family", [4, 6])
def test_an_address_is_asked_for_before_it_is_answered_for(family: int) -> None:
    tried, wanted = bench(), FAMILIES[family][2]
    tried.feed(asks(family, wanted))
    frames = tried.replies()
    assert (questions(frames, wanted), answers(frames, wanted)) == (1, 0)
    tried.pass_time(INTERVAL)
    tried.feed(asks(family, wanted))
    frames = tried.replies()
    assert (questions(frames, wanted), answers(frames, wanted)) == (1, 0)
    tried.pass_time(INTERVAL)
    assert answers(tried.replies(), wanted) == 1
    tried.feed(asks(family, wanted))  # and from now on at once
    frames = tried.replies()
    assert (questions(frames, wanted), answers(frames, wanted)) == (0, 1)


@pytest.mark.parametrize("when", ["before", "while asked for", "claimed"])
@pytest.mark.parametrize("family", [4, 6])
def test_an_address_that_another_host_uses_is_not_ours(family: int, when: str) -> None:
    tried, (_, far, wanted) = bench(), FAMILIES[family]
    if when != "before":
        tried.feed(asks(family, wanted))
    if when == "claimed":
        tried.pass_time(INTERVAL)
        tried.pass_time(INTERVAL)
    tried.feed(says(family, wanted))
    tried.replies()
    tried.feed(asks(family, wanted))
    tried.pass_time(PROBE_SECONDS + 1)
    frames = tried.replies()
    assert (questions(frames, wanted), answers(frames, wanted)) == (0, 0)
    assert set(tried.feed(ping(wanted, far))) == {(f"ipv{family}", "not_ours")}
    assert tried.inet.events()["hosts_of_others"] >= 1
    tried.pass_time(FORGET)  # it has not been heard of since: it is asked for anew, not claimed
    tried.feed(asks(family, wanted))
    frames = tried.replies()
    assert (questions(frames, wanted), answers(frames, wanted)) == (1, 0)


@pytest.mark.parametrize("family", [4, 6])
def test_who_is_about_to_use_an_address_gets_it(family: int) -> None:
    """RFC 5227's probe, RFC 4862's solicitation from nowhere: also for one that we had answered for."""
    tried, wanted = bench(), FAMILIES[family][2]
    tried.feed(asks(family, wanted))
    tried.pass_time(INTERVAL)
    tried.pass_time(INTERVAL)
    assert answers(tried.replies(), wanted) == 1
    tried.feed(arp(1, "0.0.0.0", wanted) if family == 4 else solicitation(wanted, "::", mac=None))
    tried.feed(asks(family, wanted))
    assert answers(tried.replies(), wanted) == 0


@pytest.mark.parametrize("family", [4, 6])
def test_who_asks_from_within_the_prefix_is_a_neighbour(family: int) -> None:
    tried, wanted = bench(), FAMILIES[family][2]
    asker = ASKER if family == 4 else ASKER6
    tried.feed(asks(family, wanted))
    tried.pass_time(INTERVAL)
    tried.pass_time(INTERVAL)
    tried.replies()
    tried.feed(ping(wanted, asker))
    answer = tried.reply()
    assert (source_of(answer), answer[:6]) == (wanted, PEER_MAC)
    if family == 4:
        stranger = "203.0.112.200"  # says nothing before: asked for, since its address would be ours
        assert set(tried.feed(ping(wanted, stranger))) == {("ipv4", "bad_source")}
        assert questions(tried.replies(), stranger) == 1


def test_passive_hosts_are_silent_on_the_link() -> None:
    tried = bench(AnyHosts(ANY.networks, 8, passive=True))
    for family, (_, far, wanted) in FAMILIES.items():
        tried.feed(asks(family, wanted))
        tried.pass_time(PROBE_SECONDS + 1)
        assert tried.replies() == []
        tried.feed(ping(wanted, far))
        assert source_of(tried.reply()) == wanted


def test_our_own_address_within_a_prefix_is_ours_by_itself() -> None:
    tried = bench(AnyHosts((ip_network("192.0.2.0/24"), ip_network("2001:db8::/64")), 8))
    for family, (own, peer) in {4: (HOST, PEER), 6: (HOST6, PEER6)}.items():
        tried.feed(arp(1, peer, own) if family == 4 else solicitation(own, peer))
        assert answers(tried.replies(), own) == 1
    assert tried.inet.addresses()["192.0.2.0/24"] == "preferred"


def test_no_table_grows_and_nothing_that_falls_out_is_claimed() -> None:
    totals, asked = Totals(), list[bytes]()
    prefixes = Prefixes([ip_network("198.18.0.0/15")], 16, False, totals)
    prefixes.probe = asked.append
    hosts = [ip_network("198.18.0.0/15")[number].packed for number in range(1000)]
    for number, host in enumerate(hosts):
        assert not prefixes.asked(host, lambda: None, number * 0.01)
        prefixes.theirs(hosts[999 - number], number * 0.01)
        prefixes.poll(number * 0.01)
        assert len(prefixes) <= 3 * 16
    assert totals.hosts_evicted > 900
    now = 100.0
    prefixes.poll(now + FORGET)
    assert not prefixes.asked(hosts[0], lambda: None, now + FORGET)  # forgotten: asked for again, not answered for


def test_the_groups_of_all_of_its_addresses_pass_the_cards_filter() -> None:
    from asyncnic.pcnet32.descriptors import multicast_hash

    passing = {multicast_hash(group) for group in bench().inet.multicast_macs()}
    assert passing == set(range(64))
