"""The last minutes of every number that the service shows, a row each time, in memory that does not grow.

Pure: rows are given, with their time. Which numbers there are the first row says; all later ones have the same columns.
It decides nothing and writes nothing.
"""

from array import array
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

Row = tuple[int, Sequence[float]]
"""Time in nanoseconds since 1970, and a value for each column."""


class Timeline:
    """The last `rows` rows.

    Args:
        rows: how many are kept.
    """

    def __init__(self, rows: int) -> None:
        self.columns: tuple[str, ...] = ()
        self._rows: deque[Row] = deque(maxlen=rows)

    def add(self, time_ns: int, numbers: Mapping[str, float]) -> None:
        """Keep a row. What `numbers` lacks of the columns counts as 0, and what is no column is left out."""
        if not self.columns:
            self.columns = tuple(numbers)
        self._rows.append((time_ns, array("d", [numbers.get(name, 0.0) for name in self.columns])))

    def rows(self) -> list[Row]:
        """All that is kept, the oldest first. Rows are never written again, so the list may go to a thread."""
        return list(self._rows)


def flatten(tree: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every number and truth in a tree of JSON's objects, by its keys with dots between; words and lists are no
    numbers.
    """
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        elif isinstance(value, (int, float)):
            yield f"{prefix}{key}", float(value)
