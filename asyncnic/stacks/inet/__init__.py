"""`--stack inet`: a host stack for IPv4 and IPv6 on one link: ARP, neighbour discovery, ICMP, ICMPv6, UDP, TCP.
No routing. Sans I/O but for its skin (skin.py): time and frames are arguments.
"""

from typing import TYPE_CHECKING

from asyncnic.errors import SettingsError
from asyncnic.settings.sinks import is_sink, parse_sink
from asyncnic.stacks.path import look_in_current_directory
from asyncnic.stacks.stack import Stack, StackFactory, StackSettings, StackSpec

if TYPE_CHECKING:
    from asyncnic.nic.nic import Nic


def _make(settings: StackSettings) -> StackFactory:
    from asyncnic.sinks.sinks import Sinks, broker_of
    from asyncnic.stacks.inet.prefixes import AnyHosts
    from asyncnic.stacks.inet.sequences import Sequences
    from asyncnic.stacks.inet.services import parse_service
    from asyncnic.stacks.inet.skin import InetStack
    from asyncnic.stacks.inet.tcp.config import Config
    from asyncnic.stacks.ledger_page import LedgerPage

    protocols = [text for text in settings.service if not is_sink(text)]
    if any(text.count(":") > 1 for text in protocols):
        look_in_current_directory()
    page = LedgerPage()
    try:
        services = [parse_service(text, {"http": page}) for text in protocols]
        sinks = [parse_sink(text) for text in settings.service if is_sink(text)]
        brokers = [(sink, broker_of(sink)) for sink in sinks]
    except ValueError as error:
        raise SettingsError(f"{settings.origin('service')}: {error}") from None
    ports = [*((service.stream, service.port) for service in services), *((False, sink.port) for sink in sinks)]
    if twice := sorted({port for port in ports if ports.count(port) > 1}):
        raise SettingsError(f"{settings.origin('service')}: port {twice[0][1]} can have one service only")

    datagrams = {port for stream, port in ports if not stream}
    if lonely := sorted(set(settings.sequence_gaps) - datagrams):
        raise SettingsError(f"{settings.origin('sequence_gaps')}: port {lonely[0]} has no --service of datagrams")

    tcp = Config(
        connections=settings.tcp_connections,
        connections_per_source=settings.tcp_connections_per_source,
        half_open=settings.tcp_half_open,
        time_wait=settings.tcp_time_wait,
        memory=settings.tcp_memory,
    )

    hosts = AnyHosts(tuple(settings.prefixes), settings.any_hosts, settings.any_passive)

    def make(nic: "Nic") -> Stack:
        page.numbers = lambda: nic.ledger().as_json()
        return InetStack(
            nic,
            settings.own_addresses,
            services,
            tcp=tcp,
            host=nic.host,
            origin=settings.origin("service"),
            hosts=hosts,
            sinks=Sinks(brokers, nic.knobs) if brokers else None,
            sequences=Sequences(settings.sequence_gaps) if settings.sequence_gaps else None,
        )

    return make


SPEC = StackSpec(name="inet", help="our own", make=_make)
