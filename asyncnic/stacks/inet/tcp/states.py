"""The states of a connection and how one leads to another: RFC 9293 figure 5 as one table. No behaviour.

What is not in the table leaves a connection where it is. LISTEN stands for completeness: a listener is not a
connection here (listener.py), but its answer to a SYN is the line in the table.
"""

from enum import Enum, auto


class TcpState(Enum):
    """RFC 9293 section 3.3.2."""

    CLOSED = auto()
    LISTEN = auto()
    SYN_SENT = auto()
    SYN_RECEIVED = auto()
    ESTABLISHED = auto()
    FIN_WAIT_1 = auto()
    FIN_WAIT_2 = auto()
    CLOSE_WAIT = auto()
    CLOSING = auto()
    LAST_ACK = auto()
    TIME_WAIT = auto()


class Happening(Enum):
    """What moves a connection: calls of its user, and what acceptable segments and timers bring."""

    PASSIVE_OPEN = auto()
    ACTIVE_OPEN = auto()
    CLOSE = auto()
    """The user has no more to send."""
    ABORT = auto()
    """The user gives up, or a timer does."""
    SYN = auto()
    SYN_ACK = auto()
    """A SYN that acknowledges ours."""
    ACK_OF_SYN = auto()
    ACK_OF_FIN = auto()
    FIN = auto()
    RESET = auto()
    TWO_MSL = auto()
    """The last timer has run out."""


CONNECTED, DATA, EOF, ACKED, LOST = 1, 2, 4, 8, 16
"""News of a connection for its user, as bits: the handshake is done; something can be read; the peer has sent its last;
something of ours was acknowledged; the connection is over."""

_S, _H = TcpState, Happening

TRANSITIONS: dict[tuple[TcpState, Happening], TcpState] = {
    (_S.CLOSED, _H.PASSIVE_OPEN): _S.LISTEN,
    (_S.CLOSED, _H.ACTIVE_OPEN): _S.SYN_SENT,
    (_S.LISTEN, _H.SYN): _S.SYN_RECEIVED,
    (_S.LISTEN, _H.ACTIVE_OPEN): _S.SYN_SENT,
    (_S.LISTEN, _H.CLOSE): _S.CLOSED,
    (_S.SYN_SENT, _H.SYN): _S.SYN_RECEIVED,
    (_S.SYN_SENT, _H.SYN_ACK): _S.ESTABLISHED,
    (_S.SYN_SENT, _H.CLOSE): _S.CLOSED,
    (_S.SYN_RECEIVED, _H.ACK_OF_SYN): _S.ESTABLISHED,
    (_S.SYN_RECEIVED, _H.CLOSE): _S.FIN_WAIT_1,
    (_S.ESTABLISHED, _H.CLOSE): _S.FIN_WAIT_1,
    (_S.ESTABLISHED, _H.FIN): _S.CLOSE_WAIT,
    (_S.FIN_WAIT_1, _H.ACK_OF_FIN): _S.FIN_WAIT_2,
    (_S.FIN_WAIT_1, _H.FIN): _S.CLOSING,
    (_S.FIN_WAIT_2, _H.FIN): _S.TIME_WAIT,
    (_S.CLOSE_WAIT, _H.CLOSE): _S.LAST_ACK,
    (_S.CLOSING, _H.ACK_OF_FIN): _S.TIME_WAIT,
    (_S.LAST_ACK, _H.ACK_OF_FIN): _S.CLOSED,
    (_S.TIME_WAIT, _H.TWO_MSL): _S.CLOSED,
    # A connection half closed by us whose user is gone does not wait for the peer's FIN for ever.
    (_S.FIN_WAIT_2, _H.TWO_MSL): _S.CLOSED,
    **{(state, _H.ABORT): _S.CLOSED for state in _S},
    **{(state, _H.RESET): _S.CLOSED for state in _S if state is not _S.LISTEN},
}

RECEIVING = frozenset((_S.ESTABLISHED, _S.FIN_WAIT_1, _S.FIN_WAIT_2))
"""The peer has not sent its FIN yet: its data is taken."""
SENDING = frozenset((_S.ESTABLISHED, _S.CLOSE_WAIT, _S.FIN_WAIT_1, _S.CLOSING, _S.LAST_ACK))
"""Data or a FIN of ours may still be unacknowledged."""


def after(state: TcpState, happening: Happening) -> TcpState:
    """Where `happening` leads from `state`."""
    return TRANSITIONS.get((state, happening), state)
