"""`asyncnic check`: the preflight."""

import json
import os
from pathlib import Path
from typing import Any

import click

from asyncnic.commands.options import given, settings_options
from asyncnic.devices.backend import Finding
from asyncnic.settings.load import load
from asyncnic.settings.values import shown


@click.command()
@settings_options
@click.option("--json", "as_json", is_flag=True, help="print the findings as JSON")
@click.option(
    "--config-only",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="look at FILE alone, at no variable, flag or thing of this machine; exit code 2 where anything is wrong",
)
def command(config: Path | None, as_json: bool, config_only: Path | None, **flags: Any) -> int:
    """Say what `asyncnic run` with the same flags would miss here, and the fix. Changes nothing. Exit code: 0 nothing
    is missing, 2 a configuration, 3 a privilege, 4 the device, 1 anything else."""
    from asyncnic.service.preflight import as_text, check, check_file, exit_code

    if config_only is not None:
        if given(flags):
            raise click.UsageError("--config-only FILE: takes no other flag: what FILE says is looked at alone")
        check_file(config_only)
        findings = [Finding(f"--config-only {shown(config_only)}")]
    else:
        findings = check(load(given(flags), os.environ, config))
    click.echo(json.dumps([finding.as_json() for finding in findings], indent=2) if as_json else as_text(findings))
    return exit_code(findings)
