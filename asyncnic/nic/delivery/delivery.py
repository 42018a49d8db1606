"""What the nic asks of a delivery, that is, of what stands between the rings and the stack."""

from collections.abc import Callable
from typing import Protocol

from asyncnic.nic.burst import Burst


class Delivery(Protocol):
    """Hands bursts to the stack and counts them."""

    async def next_burst(self) -> Burst:
        """The stack's next burst; the one before it is handed back. The event loop breathes at least once between two
        bursts. When it is cancelled nothing is lost: what it would have returned comes with the next call.

        Raises:
            StopAsyncIteration: the nic was stopped and everything it held was delivered.
            TakenError: the stack says of the burst before what cannot be.
        """

    async def serve(self, take: Callable[[Burst], None]) -> None:
        """Hand each burst to `take`, until the nic was stopped and everything it held was delivered.

        Raises:
            TakenError, and what `take` raises.
        """

    def delivered(self, lane: int) -> tuple[int, int]:
        """Frames and octets of lane number `lane` handed to the stack so far."""

    def in_flight(self, lane: int) -> int:
        """Frames of the lane that wait here for the stack."""

    def dropped(self, lane: int) -> dict[str, int]:
        """Frames of the lane dropped here, by reason."""

    def abandon_burst(self) -> None:
        """Hand the stack's burst back as far as it has said that it took it."""

    async def close(self) -> None:
        """End whatever runs for the delivery."""
