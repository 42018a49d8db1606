"""The chip for people: words and registers with their bits by name, whatever is in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnic.pcnet32.descriptors import OWN
from asyncnic.web.decode import registers, ring

WORDS = st.lists(st.integers(0, 0xFFFF_FFFF), min_size=4, max_size=4)


def test_who_owns_a_descriptor_is_said_first() -> None:
    shown = ring({"rx": [(0, OWN, 0, 0), (0, 0, 0, 0)]})
    assert [(entry["index"], entry["owner"]) for entry in shown["rx"]] == [(0, "card"), (1, "host")]


@given(st.lists(WORDS, max_size=4), st.lists(WORDS, max_size=4))
def test_any_words_are_shown(rx: list[list[int]], tx: list[list[int]]) -> None:
    shown = ring({"rx": rx, "tx": tx})
    assert [len(shown[name]) for name in ("rx", "tx")] == [len(rx), len(tx)]
    assert all(
        entry["owner"] == ("card" if words[1] & OWN else "host") for entry, words in zip(shown["tx"], tx, strict=True)
    )


@pytest.mark.parametrize(
    ("name", "value", "bits"), [("CSR0", 0x0001, "INIT"), ("CSR0", 0x0004, "STOP"), ("CSR0", 0x1000, "MISS")]
)
def test_registers_have_the_names_of_the_data_sheet(name: str, value: int, bits: str) -> None:
    (shown,) = registers({name: value})
    assert (shown["name"], shown["value"]) == (name, value)
    assert bits in str(shown["bits"])


@given(st.integers(0, 124), st.integers(0, 0xFFFF))
def test_any_register_with_any_value_is_shown(number: int, value: int) -> None:
    both = registers({f"CSR{number}": value, f"BCR{number}": value})
    assert [entry["name"] for entry in both] == [f"CSR{number}", f"BCR{number}"]
