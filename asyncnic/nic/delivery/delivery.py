"""What the nic asks of a delivery, that is, of what stands between the rings and the stack."""

from typing import Protocol

from asyncnic.nic.burst import Burst


class Delivery(Protocol):
    """Hands bursts to the stack and counts them."""

    async def next_burst(self) -> Burst:
        """The stack's next burst; the one before it is left. Lets the event loop breathe at least once.

        Raises:
            StopAsyncIteration: the nic was stopped and everything it held was delivered.
        """

    def delivered(self, lane: int) -> tuple[int, int]:
        """Frames and octets of lane number `lane` handed to the stack so far."""

    def in_flight(self, lane: int) -> int:
        """Frames of the lane that wait here for the stack."""

    def dropped(self, lane: int) -> dict[str, int]:
        """Frames of the lane dropped here, by reason."""

    async def close(self) -> None:
        """End whatever runs for the delivery."""
