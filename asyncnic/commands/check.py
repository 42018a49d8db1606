"""`asyncnic check`: the preflight."""

import json
import os
from pathlib import Path
from typing import Any

import click

from asyncnic.commands.options import given, settings_options
from asyncnic.settings.load import load


@click.command()
@settings_options
@click.option("--json", "as_json", is_flag=True, help="print the findings as JSON")
def command(config: Path | None, as_json: bool, **flags: Any) -> int:
    """Say what `asyncnic run` with the same flags would miss here, and the fix. Changes nothing. Exit code: 0 nothing
    is missing, 2 a configuration, 3 a privilege, 4 the device, 1 anything else."""
    from asyncnic.service.preflight import as_text, check, exit_code

    findings = check(load(given(flags), os.environ, config))
    click.echo(json.dumps([finding.as_json() for finding in findings], indent=2) if as_json else as_text(findings))
    return exit_code(findings)
