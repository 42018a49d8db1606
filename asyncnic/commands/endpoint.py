"""The options that say where a running service is, for the commands that ask one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from asyncnic.client import Endpoint

Command = TypeVar("Command", bound=Callable[..., Any])


def endpoint_options(command: Command) -> Command:
    """Give `command` --url and --cacert; they arrive together as `endpoint`."""

    def collect(context: click.Context, param: click.Parameter, value: str) -> Endpoint:
        return Endpoint(value, context.params.pop("cacert", None))

    url = click.option(
        "--url",
        "endpoint",
        metavar="URL",
        envvar="ASYNCNIC_URL",
        default="http://127.0.0.1:9732",
        callback=collect,
        help="where the service listens, user:password@ included where it asks for them  "
        "[ASYNCNIC_URL; default http://127.0.0.1:9732]",
    )
    cacert = click.option(
        "--cacert",
        metavar="FILE",
        is_eager=True,
        type=click.Path(path_type=Path),
        help="certificates to trust, in PEM, for https",
    )
    return url(cacert(command))
