"""`asyncnic run`: the service."""

import os
from pathlib import Path
from typing import Any

import click

from asyncnic.commands.options import given, settings_options
from asyncnic.settings.effective import as_toml
from asyncnic.settings.load import load


@click.command()
@settings_options
@click.option("--print-config", is_flag=True, help="print the settings in force, each with who said so, and do nothing")
def command(config: Path | None, print_config: bool, **flags: Any) -> int:
    """Run the service until SIGTERM. Each flag is also a variable and a key of the file; the flag wins, then the
    variable, then the file."""
    settings = load(given(flags), os.environ, config)
    if print_config:
        click.echo(as_toml(settings), nl=False)
        return 0
    from asyncnic.service.service import run

    return run(settings, lambda: load(given(flags), os.environ, config, again=True))
