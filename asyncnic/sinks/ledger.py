"""Where every datagram of a sink went: the conservation law behind the endpoint, as a value.

    received = acknowledged + in flight + failed{refused, given_up, worker_lost}

`in_flight` is counted where datagrams stand, never computed as what is left, so that the law can fail. This is no
counter and holds no state: see window.py.
"""

from dataclasses import dataclass, field, replace

REFUSED = "refused"
"""The broker takes no such datagram, such as one that is longer than its limit."""
GIVEN_UP = "given_up"
"""The service ended, and the broker had not acknowledged the datagram: it may have it or not."""
WORKER_LOST = "worker_lost"
"""The worker that had the datagram ended without being asked to."""
REASONS = (REFUSED, GIVEN_UP, WORKER_LOST)


@dataclass(frozen=True, slots=True)
class SinkLedger:
    """One reading of a sink, or the sum of several: all fields add up.

    Attributes:
        received: datagrams that the endpoint was given.
        acknowledged: the broker said that it has them.
        in_flight: they wait for the broker, or for its word.
        failed: by reason, those that the broker is not known to have.
        down: sinks that are not connected, or whose broker takes nothing just now; 0 or 1 of a single one.
        waits: times that the window was full and the stack waited inside its burst.
        waited: seconds that it did.
        republished: datagrams that were published again: the answer was "not now", or was lost with the connection.
    """

    received: int = 0
    acknowledged: int = 0
    in_flight: int = 0
    failed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))
    down: int = 0
    waits: int = 0
    waited: float = 0.0
    republished: int = 0

    @property
    def imbalance(self) -> int:
        """Received minus everything accounted for: 0 when the law holds."""
        return self.received - self.acknowledged - self.in_flight - sum(self.failed.values())

    def counted(self) -> "SinkLedger":
        """What of it only grows."""
        return replace(self, in_flight=0, down=0)

    def standing(self) -> "SinkLedger":
        """What of it is as it is now."""
        return SinkLedger(in_flight=self.in_flight, down=self.down)

    def closed(self) -> "SinkLedger":
        """What only grows, of a worker that is gone: what stood in it is lost with it."""
        return replace(self, failed={**self.failed, WORKER_LOST: self.failed[WORKER_LOST] + self.imbalance})

    def as_json(self) -> dict[str, object]:
        """The law's terms, and how the sink does."""
        return {
            "received": self.received,
            "acknowledged": self.acknowledged,
            "in_flight": self.in_flight,
            "failed": dict(self.failed),
            "up": self.down == 0,
            "window_waits": self.waits,
            "window_wait_seconds": round(self.waited, 6),
            "republished": self.republished,
        }
