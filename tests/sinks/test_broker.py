"""What brokers have in common: addresses as text, and one line of what a client library says."""

from asyncnic.sinks.broker import numbered, said


def test_addresses_of_both_families_are_written_with_their_port() -> None:
    assert numbered(("192.0.2.1", 514)) == "192.0.2.1:514"
    assert numbered(("2001:db8::1", 514, 0, 0)) == "[2001:db8::1]:514"


def test_what_a_library_says_is_one_printable_line() -> None:
    assert said(ValueError("plain")) == "plain"
    assert said(ValueError("two\nlines")) == "'two\\nlines'"
    assert said(TimeoutError()) == "TimeoutError"
