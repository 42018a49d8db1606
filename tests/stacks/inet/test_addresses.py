from ipaddress import ip_interface

import pytest

from asyncnic.stacks.inet.addresses import SOURCES, Addresses, is_link_local, is_multicast, link_local, solicited_node
from tests.stacks.inet.wire import packed


def test_the_link_local_address_of_a_mac() -> None:
    # RFC 2464 section 4: 34-56-78-9A-BC-DE has the identifier 36-56-78-FF-FE-9A-BC-DE.
    assert str(link_local(bytes.fromhex("3456789abcde"))) == "fe80::3656:78ff:fe9a:bcde/64"


def test_the_solicited_node_group() -> None:
    # RFC 4291 section 2.7.1: its own example.
    assert solicited_node(packed("4037::01:800:200e:8c6c")) == packed("ff02::1:ff0e:8c6c")


@pytest.mark.parametrize(
    ("address", "multicast"), [("224.0.0.1", True), ("239.1.1.1", True), ("240.0.0.1", False), ("ff02::1", True)]
)
def test_multicast(address: str, multicast: bool) -> None:
    assert is_multicast(packed(address)) is multicast


def test_link_local() -> None:
    assert is_link_local(packed("febf::1"))
    assert not is_link_local(packed("fec0::1"))


V4 = Addresses([ip_interface("192.0.2.2/24"), ip_interface("10.1.0.5/16")])
V6 = Addresses([ip_interface("fe80::5/64"), ip_interface("2001:db8::2/64"), ip_interface("2001:db8:1::2/64")])


@pytest.mark.parametrize(
    ("target", "source"), [("192.0.2.9", "192.0.2.2"), ("10.1.255.1", "10.1.0.5"), ("203.0.113.1", "192.0.2.2")]
)
def test_sources_of_ipv4(target: str, source: str) -> None:
    assert V4.source_for(packed(target)) == packed(source)


@pytest.mark.parametrize(
    ("target", "source"),
    [
        ("2001:db8::9", "2001:db8::2"),
        ("2001:db8:1::9", "2001:db8:1::2"),
        ("2001:4860::1", "2001:db8::2"),
        ("fe80::9", "fe80::5"),
        ("ff02::1", "fe80::5"),
        ("ff0e::1", "2001:db8::2"),
    ],
)
def test_sources_of_ipv6(target: str, source: str) -> None:
    assert V6.source_for(packed(target)) == packed(source)


@pytest.mark.parametrize(
    ("target", "source"),
    [
        ("2001:db8:1::9", "2001:db8:1::2"),  # rule 8, on the link
        ("2001:db8:1:8000::9", "2001:db8:1::2"),  # rule 5.5: the gateway is in that prefix
        ("2001:db8:0:1::9", "2001:db8:1::2"),  # rule 5.5 goes before rule 8
        ("fd00:1::9", "fd00:1::2"),  # rule 8, on the link
        ("fd00:2::9", "2001:db8:1::2"),  # rule 5.5 goes before rule 6
        ("ff05::9", "2001:db8:1::2"),  # rule 2: a site's group is not reached from the link's scope
        ("ff02::9", "fe80::5"),
    ],
)
def test_sources_of_ipv6_beside_a_gateway(target: str, source: str) -> None:
    own = ["fe80::5/64", "2001:db8::2/64", "2001:db8:1::2/64", "fd00:1::2/64"]
    addresses = Addresses(map(ip_interface, own), gateway=packed("2001:db8:1::1"))
    assert addresses.source_for(packed(target)) == packed(source)


@pytest.mark.parametrize(
    ("target", "source"),
    [("fd00:9::1", "fd00:1::2"), ("2001:db8:9::1", "2001:db8::2"), ("2002:1::1", "2002:9::2")],
)
def test_sources_of_ipv6_by_their_label(target: str, source: str) -> None:
    addresses = Addresses(map(ip_interface, ["fd00:1::2/64", "2001:db8::2/64", "2002:9::2/64"]))
    assert addresses.source_for(packed(target)) == packed(source)


def test_sources_of_ipv4_beside_a_gateway() -> None:
    own = ["192.0.2.2/24", "10.1.0.5/16", "10.1.0.6/16"]
    addresses = Addresses(map(ip_interface, own), gateway=packed("10.1.0.1"))
    assert addresses.source_for(packed("198.51.100.1")) == packed("10.1.0.5")
    assert addresses.source_for(packed("192.0.2.77")) == packed("192.0.2.2")


def test_remembered_sources_are_few_and_follow_the_addresses() -> None:
    addresses = Addresses([ip_interface("2001:db8::2/64")], tentative=True)
    for number in range(SOURCES + 10):
        assert addresses.source_for(packed(f"2001:db8::{number:x}")) is None
    assert len(addresses._sources) <= SOURCES
    assert addresses.become(packed("2001:db8::2"), True)
    assert not addresses.become(packed("2001:db8::2"), True)
    assert addresses.source_for(packed("2001:db8::1")) == packed("2001:db8::2")


def test_tentative_addresses_are_no_source() -> None:
    addresses = Addresses([ip_interface("2001:db8::2/64")], tentative=True)
    assert addresses
    assert addresses.source_for(packed("2001:db8::1")) is None


def test_what_is_on_the_link() -> None:
    assert V4.on_link(packed("10.1.77.1"))
    assert not V4.on_link(packed("10.2.0.1"))
    assert V4.is_broadcast(packed("10.1.255.255"))
    assert not V4.is_broadcast(packed("10.1.255.254"))
    assert not Addresses([])
