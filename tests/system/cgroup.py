"""A memory cgroup for one child process, of either version of the kernel's interface: whichever has the controller."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

V2_ROOTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
V1_ROOT = Path("/sys/fs/cgroup/memory")


class MemoryLimit:
    """A cgroup with a limit; whoever is put into it may use so much and no more, on pain of the OOM killer.

    Args:
        folder: of the cgroup.
        legacy: whether it is of version 1.
    """

    def __init__(self, folder: Path, legacy: bool) -> None:
        self._folder = folder
        self._legacy = legacy

    @property
    def prefix(self) -> tuple[str, ...]:
        """The beginning of a command whose rest runs in it."""
        return ("sh", "-c", f'echo $$ > {self._folder}/cgroup.procs && exec "$@"', "sh")

    @property
    def kills(self) -> int:
        """How many processes of it the OOM killer has ended."""
        text = (self._folder / ("memory.oom_control" if self._legacy else "memory.events")).read_text()
        return int(dict(line.split() for line in text.splitlines())["oom_kill"])

    @property
    def peak(self) -> int:
        """Octets: the most that it has had."""
        return int((self._folder / ("memory.max_usage_in_bytes" if self._legacy else "memory.peak")).read_text())


@contextmanager
def memory_limit(octets: int) -> Iterator[MemoryLimit]:
    """A cgroup of its own, with `octets` of memory and no swap; it goes away at the end.

    Raises:
        OSError: none can be made here.
    """
    parent, legacy = _own()
    folder = parent / f"asyncnic-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    try:
        if legacy:
            (folder / "memory.limit_in_bytes").write_text(str(octets))
        else:
            (folder / "memory.max").write_text(str(octets))
            (folder / "memory.swap.max").write_text("0")
        yield MemoryLimit(folder, legacy)
    finally:
        folder.rmdir()


def _own() -> tuple[Path, bool]:
    """The cgroup to make one in that has the memory controller, and whether it is of version 1."""
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    for _, controllers, path in lines:
        if "memory" in controllers.split(","):
            return V1_ROOT / path.lstrip("/"), True
    # In version 2 only the root may have both processes and children with a controller.
    return next(root for root in V2_ROOTS if (root / "cgroup.controllers").exists()), False
