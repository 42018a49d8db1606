"""The options that say where a running service is, for the commands that ask one."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from asyncnic.client.client import ServiceAddress
from asyncnic.errors import Failed
from asyncnic.service import control

Command = TypeVar("Command", bound=Callable[..., Any])


def endpoint_options(command: Command) -> Command:
    """Give `command` --url and --cacert; they arrive together as `endpoint`."""

    def collect(context: click.Context, param: click.Parameter, value: str) -> ServiceAddress:
        return _endpoint(context, value)

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


def control_options(command: Command) -> Command:
    """Give `command` --control besides, for what only the service's user may do. Where neither --control nor --url is
    given, the one control socket that is found where services have theirs is taken.
    """

    def collect(context: click.Context, param: click.Parameter, value: Path | None) -> None:
        context.meta[_CONTROL] = value

    option = click.option(
        "--control",
        metavar="PATH",
        is_eager=True,
        expose_value=False,
        callback=collect,
        type=click.Path(path_type=Path),
        help="control socket of the service  [default: the one in $RUNTIME_DIRECTORY, /run/asyncnic or "
        "$XDG_RUNTIME_DIR/asyncnic]",
    )
    return option(endpoint_options(command))


_CONTROL = "asyncnic.service.control"


def _endpoint(context: click.Context, url: str) -> ServiceAddress:
    """Where --control, --url, the sockets that are there, or the default of --url say; in this order."""
    cacert = context.params.pop("cacert", None)
    if _CONTROL not in context.meta:
        return ServiceAddress(url, cacert)
    path = context.meta[_CONTROL]
    if path is None and context.get_parameter_source("endpoint") is ParameterSource.DEFAULT:
        found = control.find(os.environ)
        if len(found) > 1:
            raise Failed(f"several services run here: name one: --control {' or '.join(map(str, found))}")
        path = next(iter(found), None)
    return ServiceAddress("http://control", control=path) if path is not None else ServiceAddress(url, cacert)
