"""`asyncnic run`: the service."""

import os
from pathlib import Path
from typing import Any

import click

from asyncnic.commands.options import given, settings_options
from asyncnic.settings.load import load


@click.command()
@settings_options
def command(config: Path | None, **flags: Any) -> int:
    """Run the service until SIGTERM. Each flag is also a variable and a key of the file; the flag wins, then the
    variable, then the file."""
    settings = load(given(flags), os.environ, config)
    from asyncnic.service.service import run

    return run(settings, lambda: load(given(flags), os.environ, config, again=True))
