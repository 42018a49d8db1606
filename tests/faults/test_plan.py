"""How faults are typed."""

import pytest

from asyncnic.faults.plan import KINDS, described, fault, plan


def test_faults_keep_their_order_and_the_seed_stands_for_itself() -> None:
    wanted = plan(["drop=1%", "seed=9", "delay=5ms", "corrupt=0.5%"])
    assert [(one.name, one.amount) for one in wanted.faults] == [("drop", 0.01), ("delay", 0.005), ("corrupt", 0.005)]
    assert wanted.seed == 9
    assert [one.name for one in wanted.at("wire")] == ["drop", "delay", "corrupt"]
    assert (wanted.amount("drop"), wanted.amount("stop")) == (0.01, 0.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must be NAME=AMOUNT, the name one of drop"),
        ("drops=1%", "must be NAME=AMOUNT"),
        ("drop", "drop takes a share"),
        ("drop=1", "drop takes a share"),
        ("drop=0%", "drop takes a share"),
        ("drop=101%", "drop takes a share"),
        ("delay=5", "must be a time with its unit"),
        ("delay=0", "delay takes a time from 1ms"),
        ("gone=2000s", "gone takes a time"),
        ("rate=0", "rate takes a whole number"),
        ("rate=-1", "rate takes a whole number"),
        ("seed=x", "seed takes a whole number"),
        ("drop=\u0661%", "drop takes a share"),
    ],
)
def test_what_is_no_fault_is_told_what_it_must_be(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        fault(text)


def test_the_help_names_every_kind() -> None:
    assert all(f"{name}=" in described() for name in KINDS)
