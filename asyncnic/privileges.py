"""What this process may do, as the kernel says: the effective capabilities of /proc/self/status."""

from pathlib import Path

NET_ADMIN = 12
"""capabilities(7): make and configure network interfaces."""


def has_capability(number: int) -> bool:
    """Whether capability `number` is effective for this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False
