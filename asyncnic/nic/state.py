"""What a nic can be, and what each entry does then: the one table that its parts are written to.

`Life` is the state and its changes; it does nothing else. Whoever has something to do at a change asks to be told.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from enum import Enum

from asyncnic.errors import DeviceLost

log = logging.getLogger(__name__)


class State(Enum):
    """The states of a nic."""

    UP = "frames come off the wire and go out"
    LOST = "the device went away; what its rings hold is still delivered, and it is waited for"
    STOPPING = "no more frames come off the wire; what the rings hold is delivered, and replies go out"
    ORPHANED = "stopping without a device: what the rings hold is delivered, and nothing goes out"
    CLOSED = "over"


_U, _L, _S, _O, _C = State

TABLE: Mapping[str, Mapping[State, str]] = {
    "next_burst": {
        _U: "a burst of the first lane that has one in its ring or on its wire, or None; a wire that is gone: LOST",
        _L: "a burst of what the rings still hold, or None",
        _S: "a burst of what the rings still hold, or None",
        _O: "a burst of what the rings still hold, or None",
        _C: "None",
    },
    "hand_back_burst": {
        _U: "what was taken is the card's again; the card is told to transmit",
        _L: "what was taken is counted",
        _S: "what was taken is counted; the card is told to transmit",
        _O: "what was taken is counted",
        _C: "nothing: closing has handed it back",
    },
    "send": {
        _U: "into the transmit ring; False: full, and counted as ring_full",
        _L: "False, and counted as carrier",
        _S: "into the transmit ring; False: full, and counted as ring_full",
        _O: "False, and counted as carrier",
        _C: "False, and counted as carrier",
    },
    "writable": {
        _U: "suspends, then returns when the ring has room",
        _L: "suspends until the device is back and the ring has room, or until it is stopped",
        _S: "suspends, then returns when the ring has room",
        _O: "suspends for a poll interval: waiting longer is of no use",
        _C: "suspends for a poll interval: waiting longer is of no use",
    },
    "wait": {
        _U: "follows or mends a chip, or suspends until an interrupt, a loss or the stop",
        _L: "asks for the device, now that the rings are empty, and suspends until it is back or the stop",
        _S: "suspends for a turn of the loop",
        _O: "suspends for a turn of the loop",
        _C: "suspends for a turn of the loop",
    },
    "stop": {
        _U: "kicks what was sent, switches the receivers off: STOPPING",
        _L: "ORPHANED",
        _S: "nothing",
        _O: "nothing",
        _C: "nothing",
    },
    "lose": {
        _U: "logged, once: LOST",
        _L: "nothing",
        _S: "logged: ORPHANED",
        _O: "nothing",
        _C: "nothing",
    },
    "reattach": {
        _U: "nothing",
        _L: "twice a second until the device is back and its chips are up, which is logged: UP",
        _S: "nothing",
        _O: "nothing",
        _C: "nothing",
    },
    "tune": {
        _U: "counts from the next burst on",
        _L: "counts from the next burst on; the device follows when it is back",
        _S: "counts from the next burst on",
        _O: "counts from the next burst on",
        _C: "nothing",
    },
    "close": {
        _U: "hands the burst back, lets what was sent leave, shuts the chips down, counts what did not leave: CLOSED",
        _L: "hands the burst back, counts what did not leave: CLOSED",
        _S: "hands the burst back, lets what was sent leave, shuts the chips down, counts what did not leave: CLOSED",
        _O: "hands the burst back, counts what did not leave: CLOSED",
        _C: "nothing",
    },
}
"""What each entry does in each state. A test holds each cell."""


class Life:
    """The state of one nic.

    Args:
        name: of the device, for the log.

    Attributes:
        state: changed here only.
        up: frames come off the wire.
        present: there is a chip that answers.
        ending: the nic was stopped.
        closed: it is over.
        no_link: why the wire of a device that is there carries nothing; empty: it does.
    """

    __slots__ = ("_told", "_waiters", "closed", "ending", "name", "no_link", "present", "state", "up")

    def __init__(self, name: str) -> None:
        self.name = name
        self.no_link = ""
        self._told: list[Callable[[], None]] = []
        self._waiters: set[asyncio.Future[None]] = set()
        self._become(State.UP)

    def tell(self, changed: Callable[[], None]) -> None:
        """Call `changed` after each change of the state."""
        self._told.append(changed)

    async def change(self) -> None:
        """Suspend until the state changes."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    def lose(self, error: DeviceLost) -> None:
        """The device is gone. Nothing where it was already."""
        if self.present:
            log.error("%s: lost: %s%s", self.name, error, "" if self.ending else "; waiting for it to come back")
            self._become(State.ORPHANED if self.ending else State.LOST)

    def link(self, missing: str) -> None:
        """The wire's link: why there is none, or empty. The state stays: frames that come are taken all the same."""
        if missing != self.no_link:
            log.warning("%s: %s", self.name, missing or "the interface is up again")
            self.no_link = missing

    def back(self) -> None:
        """The lost device works again. Nothing where it is not waited for any more."""
        if self.state is State.LOST:
            log.warning("%s: back", self.name)
            self._become(State.UP)

    def stop(self) -> None:
        """Take no more frames off the wire."""
        if not self.ending:
            self._become(State.STOPPING if self.present else State.ORPHANED)

    def close(self) -> None:
        """It is over."""
        self._become(State.CLOSED)

    def _become(self, state: State) -> None:
        self.state = state
        self.up = state is State.UP
        self.present = state in (State.UP, State.STOPPING)
        self.closed = state is State.CLOSED
        self.ending = state not in (State.UP, State.LOST)
        if not self.present:
            self.no_link = ""  # there is no wire
        for changed in self._told:
            changed()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
