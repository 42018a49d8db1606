"""The knobs as a table: what is declared once is what the settings, the metrics, `top` and the page have."""

import dataclasses

import pytest

from asyncnic.errors import SettingsError
from asyncnic.settings.knobs import AUTOMATIC, KNOBS, Knobs, by_lane
from asyncnic.settings.load import load, tuned
from asyncnic.settings.model import LIVE, Settings, choices

OTHERS: dict[str, tuple[str, object]] = {
    "number": ("7", 7),
    "seconds": ("700us", 0.0007),
    "rules": ("udp:9", ("udp:9",)),
    "lane numbers": ("bulk=7", ("bulk=7",)),
}
"""A value of each kind, as typed and as it is."""


def test_every_field_is_a_knob_but_the_switches_of_automatic_ones() -> None:
    assert {field.name for field in dataclasses.fields(Knobs)} - KNOBS.keys() == {f"{name}_auto" for name in AUTOMATIC}


@pytest.mark.parametrize("name", KNOBS)
def test_a_knob_is_a_setting_with_its_default_and_its_words(name: str) -> None:
    field = Settings.model_fields[name]
    assert field.default == getattr(Knobs(), name)
    assert field.description == KNOBS[name].text
    assert choices(field) == KNOBS[name].choices
    assert name in LIVE


@pytest.mark.parametrize("name", KNOBS)
def test_a_knob_is_turned_by_what_is_typed_and_shown_as_it_is_typed(name: str) -> None:
    knob = KNOBS[name]
    typed, value = (knob.choices[-1], knob.choices[-1]) if knob.choices else OTHERS[knob.kind]
    if name == "lane":
        typed, value = "control=arp", ("control=arp",)
    knobs = tuned(load({}, {}, None), {name: typed}).knobs()
    assert getattr(knobs, name) == value
    assert knobs.as_text()[name] == (typed if knob.kind in ("seconds", "choice") else value)
    standing = Knobs()
    standing.turn_to(knobs)
    assert standing == knobs


def test_an_automatic_budget_goes_on_from_the_one_in_force() -> None:
    knobs = Knobs(rx_budget=17)
    knobs.turn_to(load({"rx_budget": "auto"}, {}, None).knobs())
    assert (knobs.rx_budget, knobs.rx_budget_auto) == (17, True)
    assert knobs.as_text()["rx_budget"] == "auto"
    assert knobs.as_numbers()["rx_budget"] == 17


def test_an_automatic_wait_goes_on_from_the_one_in_force_and_a_time_ends_it() -> None:
    knobs = Knobs(rx_usecs=0.0007)
    knobs.turn_to(load({"rx_usecs": "auto"}, {}, None).knobs())
    assert (knobs.rx_usecs, knobs.rx_usecs_auto) == (0.0007, True)
    assert knobs.as_text()["rx_usecs"] == "auto"
    assert (knobs.as_numbers()["rx_usecs"], knobs.as_numbers()["rx_usecs_auto"]) == (0.0007, 1)
    knobs.turn_to(load({"rx_usecs": "50us"}, {}, None).knobs())
    assert (knobs.rx_usecs, knobs.rx_usecs_auto, knobs.as_text()["rx_usecs"]) == (0.00005, False, "50us")


@pytest.mark.parametrize("typed", ["11ms", "1", "-1us", "automatic", ""])
def test_a_wait_is_a_bounded_time_or_auto(typed: str) -> None:
    with pytest.raises(SettingsError, match=r"^rx_usecs=.*: must be a time .*, or auto$"):
        tuned(load({}, {}, None), {"rx_usecs": typed})


def test_numbers_are_of_the_knobs_that_have_one() -> None:
    numbers = Knobs(overload="drain", queue_policy="pause", busy_poll=0.00005).as_numbers()
    assert (numbers["overload"], numbers["queue_policy"], numbers["busy_poll"]) == (1, 2, 0.00005)
    assert not {"lane", "shed", "lane_queue", "lane_weight"} & numbers.keys()


def test_numbers_by_lane() -> None:
    assert by_lane(("control=8", "bulk=5000")) == {"control": 8, "bulk": 5000}
