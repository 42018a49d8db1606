"""The last minutes of every number that the service shows, a row each time, in memory that does not grow.

Pure: rows are given, with their time. Which numbers there are the first row says; all later ones have the same columns.
It decides nothing and writes nothing.
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence

Row = tuple[int, Sequence[float]]
"""Time in nanoseconds since 1970, and a value for each column."""


class Timeline:
    """The last `rows` rows, in memory that the first one takes for all.

    Args:
        rows: how many are kept.
    """

    def __init__(self, rows: int) -> None:
        self.columns: tuple[str, ...] = ()
        self._size = rows
        self._added = 0
        self._times = array("Q", [0]) * rows
        self._values = array("d")

    def add(self, time_ns: int, numbers: Mapping[str, float]) -> None:
        """Keep a row. What `numbers` lacks of the columns counts as 0, and what is no column is left out."""
        if not self.columns:
            self.columns = tuple(numbers)
            self._values = array("d", [0.0]) * (self._size * len(self.columns))
        place = self._added % self._size
        self._times[place] = time_ns
        self._values[self._part(place)] = array("d", [numbers.get(name, 0.0) for name in self.columns])
        self._added += 1

    def rows(self) -> list[Row]:
        """A copy of all that is kept, the oldest first."""
        places = (number % self._size for number in range(max(0, self._added - self._size), self._added))
        return [(self._times[place], self._values[self._part(place)]) for place in places]

    def _part(self, place: int) -> slice:
        return slice(place * len(self.columns), (place + 1) * len(self.columns))


def flatten(tree: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every number and truth in a tree of JSON's objects, by its keys with dots between; words and lists are no
    numbers.
    """
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        elif isinstance(value, (int, float)):
            yield f"{prefix}{key}", float(value)
