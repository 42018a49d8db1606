"""What can be set about TCP, with its bounds; and what TCP counts. Values only."""

from dataclasses import dataclass, field, fields

REFUSALS = ("connections", "source", "half_open", "memory", "time_wait")
"""Why something was not taken or not kept: the limit that was reached."""


@dataclass(frozen=True, slots=True)
class Config:
    """Limits and habits of one host's TCP. Octets, seconds, counts."""

    receive_window: int = 256 * 1024
    """Octets of one connection that may be on their way or unread."""
    send_buffer: int = 256 * 1024
    """Octets written and not acknowledged that do not count as a transport's write buffer: what a kernel would hold."""
    connections: int = 4096
    """Connections in all, without those in TIME-WAIT."""
    connections_per_source: int = 1024
    """Connections with one peer's address."""
    half_open: int = 512
    """Handshakes that wait for their last ACK; beyond it SYN cookies are sent."""
    time_wait: int = 4096
    """Connections in TIME-WAIT; the oldest makes room."""
    memory: int = 128 * 1024 * 1024
    """Octets that all buffers may cost, objects included."""
    congestion: str = "cubic"
    """"cubic" or "newreno"."""
    two_msl: float = 60.0
    """How long TIME-WAIT lasts, and FIN-WAIT-2 without a user."""
    delayed_ack: float = 0.04
    """RFC 9293 section 3.8.6.3 allows 0.5."""
    syn_retries: int = 7
    """R2 for SYNs: 3 minutes are over after so many (MUST-23)."""
    retries: int = 15
    """R2 for data: 100 s and more (section 3.8.3)."""


@dataclass(slots=True)
class TcpCounts:
    """Events since the host was made."""

    segments_in: int = 0
    segments_out: int = 0
    opened_active: int = 0
    opened_passive: int = 0
    retransmitted: int = 0
    """Segments sent again."""
    timeouts: int = 0
    """Retransmission timers that ran out."""
    fast_recoveries: int = 0
    spurious: int = 0
    """Recoveries that were undone: nothing had been lost."""
    out_of_order: int = 0
    duplicate: int = 0
    """Segments with data, all of which was there already."""
    outside_window: int = 0
    old_stamp: int = 0
    """Segments that PAWS did not let pass."""
    challenge_acks: int = 0
    resets_in: int = 0
    resets_out: int = 0
    probes: int = 0
    """Window probes and keep-alives sent."""
    cookies_sent: int = 0
    cookies_taken: int = 0
    cookies_bad: int = 0
    """ACKs to a listener that completed no handshake."""
    aborted: int = 0
    """Connections given up for want of an answer."""
    refused: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REFUSALS, 0))

    def as_dict(self) -> dict[str, int]:
        """Name -> count; what was refused by its reason, as "refused_memory"."""
        counts: dict[str, int] = {
            item.name: getattr(self, item.name) for item in fields(self) if item.name != "refused"
        }
        return counts | {f"refused_{reason}": count for reason, count in self.refused.items()}
