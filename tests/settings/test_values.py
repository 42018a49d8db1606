"""Text to values: what is accepted, and what an error says."""

import ipaddress
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnic.settings import values
from asyncnic.stacks.choice import stack


@pytest.mark.parametrize(
    ("text", "seconds"), [("2ms", 0.002), ("50us", 5e-5), ("1.5s", 1.5), ("0", 0.0), (0, 0.0), (" 1s ", 1.0)]
)
def test_durations(text: object, seconds: float) -> None:
    assert values.duration(text) == seconds


@given(st.floats(0, 1e6))
def test_a_duration_reads_back_as_it_is_shown(seconds: float) -> None:
    assert values.duration(values.show_duration(seconds)) == seconds


@pytest.mark.parametrize("text", ["0us", "0.4us", "1.5us", "50us", "2ms", "1500us", "10ms", "250ms", "1s", "100s"])
def test_a_duration_is_shown_as_it_was_typed(text: str) -> None:
    assert values.show_duration(values.duration(text)) == text


@given(st.from_regex(r"\A[0-9]{1,6}(\.[0-9]{1,12})?(us|ms|s)\Z"))
def test_what_a_worker_is_told_is_what_was_typed(text: str) -> None:
    assert values.duration(values.show_duration(values.duration(text))) == values.duration(text)


@pytest.mark.parametrize(
    ("parse", "typed", "message"),
    [
        (values.duration, "2", "must be a time with its unit"),
        (values.duration, 0.002, "must be a time with its unit"),
        (values.duration, "-1ms", "must be a time with its unit"),
        (values.duration_within(0.0, 0.1), "1s", "must be a time from 0us to 100ms"),
        (values.whole_within(68, 1500), "67", "must be a whole number from 68 to 1500"),
        (values.whole_within(68, 1500), True, "must be a whole number"),
        (values.whole_within(68, 1500), 70.0, "must be a whole number"),
        (values.whole_within(68, 1500), "9" * 40, "must be a whole number"),
        (values.power_of_two_within(1, 512), "0", "must be a power of two from 1 to 512"),
        (values.power_of_two_within(1, 512), 384, "must be a power of two from 1 to 512"),
        (values.power_of_two_within(1, 512), 1024, "must be a power of two from 1 to 512"),
        (values.mac, "02:00:00:00:00", "must be six octets"),
        (values.mac, "01:00:00:00:00:00", "must be a unicast address"),
        (values.mac, "00-00-00-00-00-00", "must be the address of a station"),
        (values.interface, "192.0.2.2", "must have a prefix length, like 192.0.2.2/24"),
        (values.interface, "192.0.2.0/24", "must be the address of a host: it is the network's"),
        (values.interface, "192.0.2.255/24", "must be the address of a host: it is the network's"),
        (values.interface, "224.0.0.1/24", "must be the address of a host: not multicast"),
        (values.interface, "::/64", "must be the address of a host"),
        (values.interface, "nonsense/24", "must be an address with its prefix length"),
        (stack, "module", "must be inet, kernel, sink or package.module:coroutine"),
        (stack, "a.b:", "must be inet, kernel, sink or package.module:coroutine"),
        (values.service, "udp-echo", "must be NAME:PORT, like udp-echo:7"),
        (values.service, "udp-echo:0", "must be NAME:PORT"),
        (values.service, "udp-echo:65536", "must be NAME:PORT"),
        (values.listen, "9732", "must be HOST:PORT"),
        (values.listen, "127.0.0.1:70000", "must be HOST:PORT"),
        (values.listen, "::1:9732", "must be HOST:PORT"),
        (values.listen, "a..b:80", "must be HOST:PORT: a..b can be no host's name or address"),
        (values.listen, ".:80", "must be HOST:PORT: . can be no host's name or address"),
        (values.listen, "x" * 64 + ":80", "must be HOST:PORT: x"),
        (values.listen, "x." * 200 + "x:80", "must be HOST:PORT: x"),
        (values.listen, "[1:2]:80", "must be HOST:PORT: .1:2. can be no host's name or address"),
        (values.switch, "perhaps", "must be true or false"),
        (values.text, 5, "must be text"),
        (values.text, "a\nb", "must be text without control characters"),
    ],
)
def test_what_is_wrong_is_said(parse: Callable[[object], object], typed: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        parse(typed)


@pytest.mark.parametrize(
    ("parse", "typed", "value"),
    [
        (values.whole_within(1, 9), "7", 7),
        (values.power_of_two_within(1, 512), "512", 512),
        (values.mac, "02-00-5E-10-00-01", "02:00:5e:10:00:01"),
        (values.mac, "", ""),
        (values.interface, "2001:db8::2/64", ipaddress.ip_interface("2001:db8::2/64")),
        (values.interface, "10.0.0.0/31", ipaddress.ip_interface("10.0.0.0/31")),
        (values.interface_or_none, "", None),
        (stack, "package.module:coroutine", "package.module:coroutine"),
        (values.service, "package.module:factory:53", "package.module:factory:53"),
        (values.listen, "[::1]:0", "[::1]:0"),
        (values.switch, "TRUE", True),
        (values.switch, False, False),
    ],
)
def test_what_is_right_is_taken(parse: Callable[[object], object], typed: object, value: object) -> None:
    assert parse(typed) == value


def test_listen_is_split() -> None:
    assert values.split_listen("127.0.0.1:9732") == ("127.0.0.1", 9732)
    assert values.split_listen("[::1]:9732") == ("::1", 9732)
    assert values.split_listen(":9732") == (None, 9732)


@given(st.text())
def test_any_text_is_a_value_or_a_value_error(text: str) -> None:
    parsers: list[Callable[[object], object]] = [
        values.duration,
        values.mac,
        values.interface,
        stack,
        values.service,
        values.listen,
        values.switch,
        values.text,
    ]
    for parse in parsers:
        said = "must "
        try:
            parse(text)
        except ValueError as error:
            said = str(error)
        assert said.startswith("must ")


@pytest.mark.parametrize(("given", "value"), [("bulk=10", "bulk=10"), (" bulk = 10 ", "bulk=10"), ("a=1", "a=1")])
def test_lanes_numbers(given: str, value: str) -> None:
    assert values.lane_number(1, 10)(given) == value


@pytest.mark.parametrize("given", ["", "bulk", "bulk=", "=5", "bulk=0", "bulk=11", "bulk=x", "bulk=1=2", 5])
def test_what_is_no_lanes_number(given: object) -> None:
    with pytest.raises(ValueError, match="must be NAME=NUMBER, the name of a lane and a whole number from 1 to 10"):
        values.lane_number(1, 10)(given)


def test_rules_are_read_together_and_stay_as_they_were_typed() -> None:
    read: list[object] = []
    given = ("a=arp", "b=nd")
    assert values.rules(read.append)(given) is given
    assert read == [given]
    assert values.rules(read.append)(5) == 5, "what is no list is told by whoever checks the type"
    assert read == [given]
