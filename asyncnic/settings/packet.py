"""What only packet:INTERFACE has, as settings. What it does with them is the device's own."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

from asyncnic.settings import values


class OfPacket(BaseModel):
    """Settled when the service starts."""

    packet_ring: Annotated[int, BeforeValidator(values.whole_within(32, 65536))] = Field(
        4096,
        title="FRAMES",
        description="frames that the kernel's ring of packet:INTERFACE holds, at most, for each lane; 2 KiB each",
    )
    packet_qdisc_bypass: Annotated[bool, BeforeValidator(values.switch)] = Field(
        False, description="send on packet:INTERFACE past the interface's queueing discipline"
    )
