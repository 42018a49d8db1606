"""`--stack inet`: a host stack for IPv4 and IPv6 on one link: ARP, neighbour discovery, ICMP, ICMPv6, UDP, and the core
of a TCP. No routing. Sans I/O but for its skin (skin.py): time and frames are arguments.
"""

from asyncnic.errors import SettingsError
from asyncnic.stacks.path import look_in_current_directory
from asyncnic.stacks.stack import StackFactory, StackSettings, StackSpec


def _make(settings: StackSettings) -> StackFactory:
    from asyncnic.stacks.inet.services import parse_service
    from asyncnic.stacks.inet.skin import InetStack

    if any(text.count(":") > 1 for text in settings.service):
        look_in_current_directory()
    try:
        services = [parse_service(text) for text in settings.service]
    except ValueError as error:
        raise SettingsError(f"{settings.origin('service')}: {error}") from None
    ports = [service.port for service in services]
    if twice := sorted({port for port in ports if ports.count(port) > 1}):
        raise SettingsError(f"{settings.origin('service')}: port {twice[0]} can have one service only")
    return lambda nic: InetStack(nic, settings.address, services)


SPEC = StackSpec(name="inet", help="our own", make=_make)
