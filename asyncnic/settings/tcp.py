"""The limits of the inet stack's TCP as settings. What each bounds and how it is counted is the stack's own."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

from asyncnic.settings import values
from asyncnic.stacks.inet.tcp.config import Config

_STANDARD = Config()
_COUNT = BeforeValidator(values.whole_within(1, 65536))


class OfTcp(BaseModel):
    """Settled when the service starts; each worker has them for itself."""

    tcp_connections: Annotated[int, _COUNT] = Field(
        _STANDARD.connections,
        title="N",
        description="connections of the inet stack's TCP, without those in TIME-WAIT",
    )
    tcp_connections_per_source: Annotated[int, _COUNT] = Field(
        _STANDARD.connections_per_source, title="N", description="the same with one peer's address"
    )
    tcp_half_open: Annotated[int, _COUNT] = Field(
        _STANDARD.half_open, title="N", description="TCP handshakes under way; beyond them SYN cookies are sent"
    )
    tcp_time_wait: Annotated[int, _COUNT] = Field(
        _STANDARD.time_wait, title="N", description="connections in TIME-WAIT; beyond them the oldest makes room"
    )
    tcp_memory: Annotated[int, BeforeValidator(values.whole_within(1 << 20, 1 << 40))] = Field(
        _STANDARD.memory, title="OCTETS", description="memory of all TCP connections with their buffers, from 1048576"
    )
