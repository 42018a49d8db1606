"""The settings' JSON Schema: it has every setting, takes what the program takes, and refuses what that refuses."""

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest

from asyncnic.errors import SettingsError
from asyncnic.settings.effective import as_toml
from asyncnic.settings.load import load
from asyncnic.settings.model import LIVE, Settings
from asyncnic.settings.schema import json_schema

ROOT = Path(__file__).parents[2]
VALIDATOR = jsonschema.Draft202012Validator(json_schema())


def test_it_is_a_schema_of_every_setting() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert list(json_schema()["properties"]) == list(Settings.model_fields)
    assert all("type" in value or "enum" in value or "anyOf" in value for value in json_schema()["properties"].values())


def test_it_takes_the_example_and_what_is_printed_and_every_default() -> None:
    VALIDATOR.validate(tomllib.loads((ROOT / "deploy" / "asyncnic.toml").read_text()))
    VALIDATOR.validate(tomllib.loads(as_toml(load({"rx_budget": "auto", "shed": ("udp:19",)}, {}, None))))
    VALIDATOR.validate({name: value["default"] for name, value in json_schema()["properties"].items()})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rx_rng", 256),
        ("rx_ring", 100),
        ("rx_ring", "many"),
        ("mtu", 67),
        ("mtu", 1501),
        ("rx_budget", "automatic"),
        ("rx_budget", 0),
        ("target_lag", "2"),
        ("target_lag", "2 minutes"),
        ("overload", "spill"),
        ("delivery", "both"),
        ("enable_lifecycle", "perhaps"),
        ("service", ["echo"]),
        ("service", [7]),
        ("service", ["514=kafka://127.0.0.1/syslog"]),
        ("lane_queue", ["bulk"]),
        ("shed", [19]),
        ("listen", "everywhere"),
        ("log_level", "loud"),
        ("web_config", 7),
    ],
)
def test_what_it_refuses_the_program_refuses_too(tmp_path: Path, name: str, value: object) -> None:
    assert not VALIDATOR.is_valid({name: value})
    file = tmp_path / "wrong.toml"
    file.write_text(f"{name} = {json.dumps(value)}\n")
    with pytest.raises(SettingsError):
        load({}, {}, file)


def test_bounds_of_live_numbers_are_in_it() -> None:
    properties = json_schema()["properties"]
    bounded = {name for name in LIVE if {"minimum", "maximum"} <= properties[name].keys()}
    assert bounded == {"tap_queue", "queue_limit", "sink_window"}
    assert properties["rx_budget"]["anyOf"][0] == {"type": "integer", "minimum": 1, "maximum": 4096}
