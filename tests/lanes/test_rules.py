"""The grammar: every term, canonical spelling, defaults, and one-line errors that name the token."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnic.lanes.rules import (
    DEFAULT_LANES,
    EVERYTHING,
    MAX_LANES,
    MAX_SHED_RULES,
    MAX_TERMS,
    DiscoveryTerm,
    EtherTerm,
    PrefixTerm,
    ProtocolTerm,
    Term,
    VlanTerm,
    parse_lanes,
    parse_rule,
    parse_shed,
)
from tests.lanes.frames import rule_texts


@pytest.mark.parametrize(
    ("token", "term"),
    [
        ("arp", EtherTerm(0x0806)),
        ("nd", DiscoveryTerm()),
        ("icmp", ProtocolTerm(1, (4,))),
        ("icmp6", ProtocolTerm(58, (6,))),
        ("tcp", ProtocolTerm(6, (4, 6))),
        ("udp", ProtocolTerm(17, (4, 6))),
        ("udp:53", ProtocolTerm(17, (4, 6), 53)),
        ("tcp:179", ProtocolTerm(6, (4, 6), 179)),
        ("vlan:7", VlanTerm(7)),
        ("vlan:0", VlanTerm(0)),
        ("ether:0x88cc", EtherTerm(0x88CC)),
        ("src:198.51.100.0/24", PrefixTerm(True, ip_network("198.51.100.0/24"))),
        ("dst:2001:db8::/32", PrefixTerm(False, ip_network("2001:db8::/32"))),
    ],
)
def test_each_token_means_one_term_and_is_its_own_canonical_spelling(token: str, term: Term) -> None:
    rule = parse_rule(token)
    assert rule.terms == (term,)
    assert rule.text == token


def test_spelling_becomes_canonical() -> None:
    text = " ARP, udp:0053 ,ether:35020,src:198.51.100.7,dst:2001:DB8:0::/32, arp"
    assert parse_rule(text).text == "arp,udp:53,ether:0x88cc,src:198.51.100.7/32,dst:2001:db8::/32"


@given(rule_texts)
def test_canonical_text_reads_as_the_same_rule(text: str) -> None:
    rule = parse_rule(text)
    assert parse_rule(rule.text) == rule


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("bogus", "'bogus' is not a rule"),
        ("arp,,udp", "'' is not a rule"),
        ("", "'' is not a rule"),
        ("arp,*", "'*' is not a rule"),
        ("icmp:8", "'icmp:8' is not a rule"),
        ("udp:", "'' is not a port; use 1-65535"),
        ("udp:0", "'0' is not a port"),
        ("udp:65536", "'65536' is not a port"),
        ("tcp:http", "'http' is not a port"),
        ("udp:+53", "'+53' is not a port"),
        ("udp:\u0665", "is not a port"),
        ("vlan:4096", "'4096' is not a VLAN identifier; use 0-4095"),
        ("ether:0x5ff", "'0x5ff' is not an EtherType; use 0x0600-0xffff"),
        ("ether:cafe", "'cafe' is not an EtherType"),
        ("src:198.51.100", "'198.51.100' is not an address or prefix"),
        ("src:198.51.100.0/33", "'198.51.100.0/33' is not an address or prefix"),
        ("src:198.51.100.7/24", "bits are set beyond the prefix; use 198.51.100.0/24"),
        ("dst:fe80::1%eth0", "a zone is not part of an address in a frame"),
        ("src:", "'' is not an address or prefix"),
    ],
)
def test_a_bad_rule_is_one_line_that_names_the_token(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=r"use|leave") as caught:
        parse_rule(text)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_a_rule_or_a_one_line_error(text: str) -> None:
    message = ""
    try:
        assert parse_rule(text).terms or text.strip() == "*"
    except ValueError as error:
        message = str(error)
    assert message.isprintable()


def test_default_lanes_are_control_before_bulk() -> None:
    lanes = parse_lanes(DEFAULT_LANES)
    assert [(lane.name, lane.rule.text) for lane in lanes] == [("control", "arp,nd,icmp,icmp6"), ("bulk", "*")]


@pytest.mark.parametrize("last", ["rest=*", "rest="])
def test_a_last_lane_without_terms_takes_the_rest(last: str) -> None:
    assert [(lane.name, lane.rule) for lane in parse_lanes(["dns=udp:53", last])][1:] == [("rest", EVERYTHING)]


def test_bulk_may_be_named_without_a_rule() -> None:
    assert [lane.name for lane in parse_lanes(["dns=udp:53", "bulk"])] == ["dns", "bulk"]


def test_no_lanes_is_bulk_alone() -> None:
    assert [lane.name for lane in parse_lanes([])] == ["bulk"]


@pytest.mark.parametrize(
    ("texts", "named"),
    [
        (["control"], "no rule; control=RULE"),
        (["=arp"], "'' is not a name"),
        (["Con trol=arp"], "'Con trol' is not a name"),
        (["all=*", "dns=udp:53"], "put it last"),
        (["dns=udp:53", "dns=tcp:53"], "'dns' is there twice"),
        (["bulk=udp"], "'bulk' is there twice"),
        (["dns=udp:x"], "lane dns: 'udp:x'"),
        ([f"lane{number}=vlan:{number}" for number in range(MAX_LANES)], f"at most {MAX_LANES}"),
        (["big=" + ",".join(f"vlan:{number}" for number in range(MAX_TERMS + 1))], f"at most {MAX_TERMS}"),
    ],
)
def test_bad_lanes_are_named(texts: list[str], named: str) -> None:
    with pytest.raises(ValueError, match="lane") as caught:
        parse_lanes(texts)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_equal_shed_rules_count_once() -> None:
    assert [rule.text for rule in parse_shed(["UDP:9", "udp:9", "tcp"])] == ["udp:9", "tcp"]


@pytest.mark.parametrize(
    ("texts", "named"),
    [
        (["*"], "would shed everything"),
        ([""], "would shed everything"),
        (["udp:9", "nonsense"], "'nonsense'"),
        ([f"udp:{port}" for port in range(1, MAX_SHED_RULES + 2)], f"at most {MAX_SHED_RULES}"),
    ],
)
def test_bad_shed_rules_are_named(texts: list[str], named: str) -> None:
    with pytest.raises(ValueError, match="shed") as caught:
        parse_shed(texts)
    assert named in str(caught.value)
