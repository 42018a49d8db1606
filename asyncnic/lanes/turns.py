"""Whose turn it is: the order in which the lanes of a device are looked at.

Strict priority, but for lanes that have a weight: after so many bursts in a row such a lane stands behind the others,
until one of the lanes below it has had a burst. Pure; it sees neither frames nor queues.
"""

from collections.abc import Mapping, Sequence


class Turns:
    """The order among the lanes `names`, highest first.

    Args:
        weights: for some of the names, how many bursts in a row the lane may have while lanes below it wait. A lane
            without a weight may have as many as it likes.

    Attributes:
        order: the lanes' indices, in the order in which to look at them now.
        weighted: whether `took` has anything to do.
    """

    __slots__ = ("_left", "_weights", "order", "weighted")

    def __init__(self, names: Sequence[str], weights: Mapping[str, int]) -> None:
        self._weights = [weights.get(name, 0) for name in names]
        self._left = list(self._weights)
        self.order = list(range(len(names)))
        self.weighted = any(self._weights)

    def took(self, lane: int) -> None:
        """Note that `lane` has had a burst: the lanes above it have their turns again."""
        left, weights = self._left, self._weights
        left[:lane] = weights[:lane]
        if left[lane]:
            left[lane] -= 1
        waits = [bool(weight) and not credit for weight, credit in zip(weights, left, strict=True)]
        self.order.sort(key=lambda index: (waits[index], index))
