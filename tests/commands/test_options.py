"""The settings as options of a command: what is shown, what is completed, and what reaches the settings."""

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from asyncnic.commands.options import given, settings_options
from asyncnic.settings.model import Settings, choices, flag, is_list, variable


def parsed(*arguments: str, **variables: str) -> tuple[Path | None, dict[str, object]]:
    """--config, and what was typed, as a command gets them."""
    found: list[tuple[Path | None, dict[str, object]]] = []

    @click.command()
    @settings_options
    def command(config: Path | None, **flags: Any) -> None:
        assert set(flags) == set(Settings.model_fields)
        found.append((config, given(flags)))

    result = CliRunner().invoke(command, arguments, env=variables, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return found[0]


def test_what_was_not_typed_is_not_given() -> None:
    assert parsed() == (None, {})


def test_values_arrive_as_they_were_typed_and_are_not_checked_here() -> None:
    assert parsed("--rx-ring", "300", "--queue-policy", "none of them", "--host-address", "")[1] == {
        "rx_ring": "300",
        "queue_policy": "none of them",
        "host_address": "",
    }


def test_a_switch_is_true_and_what_repeats_is_all_there() -> None:
    typed = ("--enable-lifecycle", "--address", "192.0.2.2/24", "--address", "2001:db8::2/64")
    assert parsed(*typed)[1] == {"enable_lifecycle": True, "address": ("192.0.2.2/24", "2001:db8::2/64")}


def test_the_file_comes_from_its_variable_too_and_other_variables_are_left_to_the_settings() -> None:
    assert parsed(ASYNCNIC_CONFIG="/a.toml", ASYNCNIC_MTU="900") == (Path("/a.toml"), {})
    assert parsed("--config", "/b.toml", ASYNCNIC_CONFIG="/a.toml")[0] == Path("/b.toml")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_each_setting_is_an_option_with_its_words_and_its_default(name: str) -> None:
    command = settings_options(click.Command("any"))
    (option,) = [param for param in command.params if param.name == name]
    field, context = Settings.model_fields[name], click.Context(command)
    assert isinstance(option, click.Option)
    assert option.opts == [flag(name)]
    assert option.multiple == is_list(name)
    assert option.help is not None
    assert f"[{variable(name)}" in option.help
    assert ("; default" in option.help) == (field.default != "" and field.default is not False)
    words = choices(field)
    assert {item.value for item in option.type.shell_complete(context, option, "")} == set(words)
    for word in words:
        assert word in {item.value for item in option.type.shell_complete(context, option, word[:1])}
        assert word in option.make_metavar(context)


def test_a_default_that_is_a_time_is_shown_with_its_unit() -> None:
    command = settings_options(click.Command("any"))
    (option,) = [param for param in command.params if param.name == "rx_time_budget"]
    assert isinstance(option, click.Option)
    assert str(option.help).endswith("[ASYNCNIC_RX_TIME_BUDGET; default 2ms]")
