"""Hosts by the prefix (--any), as settings. Which addresses are claimed, and when, is the inet stack's own."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

from asyncnic.settings import values
from asyncnic.stacks.inet.prefixes import AnyHosts

_STANDARD = AnyHosts()


class OfHosts(BaseModel):
    """Settled when the service starts."""

    any: Annotated[bool, BeforeValidator(values.switch)] = Field(
        False,
        description="be all hosts of each --address that is a prefix, like 198.51.100.0/24: routed to us, or on the "
        "link, where no address that another host uses is claimed",
    )
    any_passive: Annotated[bool, BeforeValidator(values.switch)] = Field(
        False,
        description="answer neither ARP nor neighbour discovery for hosts of --any: only what is routed to us comes",
    )
    any_hosts: Annotated[int, BeforeValidator(values.whole_within(1, 1 << 20))] = Field(
        _STANDARD.limit,
        title="N",
        description="hosts of --any that have a protocol of their own on a port, and those that are known on the link, "
        "at most",
    )
