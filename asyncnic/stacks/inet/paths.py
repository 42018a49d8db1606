"""Path MTU by target, as routers tell it (RFC 1191, RFC 8201): bounded, only lowered, and forgotten after a while."""

LIMIT = 256
LIFETIME = 600.0


class Paths:
    """The path MTUs of one family.

    Args:
        mtu: octets of the largest packet on the link.
        least: what no router's word lowers it below.
    """

    __slots__ = ("_known", "_least", "mtu")

    def __init__(self, mtu: int, least: int) -> None:
        self.mtu = mtu
        self._least = least
        self._known: dict[bytes, tuple[int, float]] = {}

    def __len__(self) -> int:
        """Targets with a path MTU of their own; bounded by `LIMIT`."""
        return len(self._known)

    def to(self, target: bytes, now: float) -> int:
        """Octets of the largest packet that reaches `target` whole, as far as known."""
        known = self._known.get(target)
        if known is None:
            return self.mtu
        if known[1] <= now:
            del self._known[target]
            return self.mtu
        return known[0]

    def lower(self, target: bytes, mtu: int, now: float) -> None:
        """A router said that `mtu` octets are the most on the way to `target`; never raised."""
        mtu = max(mtu, self._least)
        if mtu >= self.to(target, now):
            return
        self._known.pop(target, None)
        if len(self._known) >= LIMIT:
            del self._known[next(iter(self._known))]
        self._known[target] = mtu, now + LIFETIME
