"""`asyncnic announce`: a process of ExaBGP's, which has a running service's addresses announced while it is ready."""

import os
import select
import sys
import time
from dataclasses import replace

import click

from asyncnic.client.announce import Announcer, Terms
from asyncnic.client.client import ServiceAddress
from asyncnic.commands.endpoint import control_options
from asyncnic.errors import Failed, SettingsError
from asyncnic.settings.values import duration_within, route

PATIENCE = 1.0
"""Seconds that the service may take for an answer: one that is frozen is no longer announced."""


@click.command()
@control_options
@click.option(
    "--route",
    "routes",
    metavar="PREFIX",
    multiple=True,
    help="what to announce (repeatable)  [default: the service's addresses]",
)
@click.option("--next-hop", metavar="ADDRESS", default="self", show_default=True, help="next hop of the routes")
@click.option(
    "--med",
    metavar="N",
    default=100,
    show_default=True,
    type=click.IntRange(0, 2**32 - 1),
    help="their metric while nothing is dropped",
)
@click.option(
    "--overload-med",
    metavar="N",
    default=1000,
    show_default=True,
    type=click.IntRange(0, 2**32 - 1),
    help="their metric while drops grow, and for ten seconds after",
)
@click.option("--interval", metavar="TIME", default="200ms", show_default=True, help="between two looks at the service")
def command(
    endpoint: ServiceAddress, routes: tuple[str, ...], next_hop: str, med: int, overload_med: int, interval: str
) -> None:
    """Follow a running service on its control socket, and say on standard output, as ExaBGP's API takes it, that its
    addresses are announced while it is ready and withdrawn while it is not: it drains, is lost, or does not answer.
    ExaBGP starts it, and it ends with ExaBGP. deploy/anycast has the configuration.
    """
    try:
        seconds = duration_within(0.01, 60.0)(interval)
    except ValueError as error:
        raise SettingsError(f"--interval {interval}: {error}") from None
    found = []
    for text in routes:
        try:
            found.append(route(text))
        except ValueError as error:
            raise SettingsError(f"--route {text}: {error}") from None
    announcer = Announcer(Terms(tuple(found), next_hop, med, overload_med))
    service = replace(endpoint, timeout=PATIENCE)
    try:
        while True:
            try:
                stats = service.get_json("/api/v1/stats")
            except Failed:
                stats = None
            for line in announcer.read(stats, time.monotonic()):
                sys.stdout.write(line + "\n")
            sys.stdout.flush()
            if _ended(seconds):
                return
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to flush at the end


def _ended(seconds: float) -> bool:
    """Wait, and pass over what ExaBGP answers ("done"); True when it is gone."""
    due = time.monotonic() + seconds
    while (left := due - time.monotonic()) > 0:
        ready, _, _ = select.select([sys.stdin], [], [], left)
        if ready and not os.read(sys.stdin.fileno(), 4096):
            return True
    return False
