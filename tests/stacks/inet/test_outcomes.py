from asyncnic.stacks.inet.outcomes import LABELS, Outcome, Totals


def test_labels_are_protocol_and_outcome() -> None:
    assert Outcome.UDP_NO_LISTENER.label == ("udp", "no_listener")
    assert LABELS[Outcome.ETHERNET_TRUNCATED] == ("ethernet", "truncated")
    assert len(set(LABELS)) == len(Outcome)


def test_outcomes_count_from_zero_without_a_gap() -> None:
    assert list(Outcome) == list(range(len(Outcome)))


def test_totals_start_at_zero() -> None:
    assert set(Totals().as_dict().values()) == {0}
    assert Totals().as_dict().keys() == set(Totals.__slots__)
