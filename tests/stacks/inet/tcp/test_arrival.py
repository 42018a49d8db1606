"""Every state with every kind of segment: what becomes of the connection, and what is answered.

The table is RFC 9293 section 3.10.7 read state by state, with the challenge ACKs of RFC 5961 in place of its resets.
"""

import pytest

from asyncnic.stacks.inet.tcp.segment import ACK, FIN, RST, SYN
from asyncnic.stacks.inet.tcp.states import TRANSITIONS, Happening, TcpState, after
from tests.stacks.inet.tcp.bare import in_state

S = TcpState
NOTHING, AN_ACK, A_RESET, SYN_ACK = "", "ack", "reset", "syn-ack"

# Flags, and where the peer stands: sequence number and acknowledgment relative to what we expect, payload.
SEGMENTS = {
    "rst exact": (RST, 0, 0, b""),
    "rst in window": (RST, 100, 0, b""),
    "rst outside": (RST, -100, 0, b""),
    "rst ack exact": (RST | ACK, 0, 0, b""),
    "syn in window": (SYN, 10, 0, b""),
    "syn again": (SYN, -1, 0, b""),
    "syn ack in window": (SYN | ACK, 10, 0, b""),
    "nothing set": (0, 0, 0, b"x"),
    "ack": (ACK, 0, 0, b""),
    "ack of the future": (ACK, 0, 5000, b""),
    "ack of long ago": (ACK, 0, -100_000, b""),
    "data": (ACK, 0, 0, b"data"),
    "data again": (ACK, -4, 0, b"data"),
    "data beyond the window": (ACK, 100_000, 0, b"data"),
    "data ahead": (ACK, 100, 0, b"data"),
    "fin": (FIN | ACK, 0, 0, b""),
    "fin with data": (FIN | ACK, 0, 0, b"last"),
}

DEFAULT = {
    "rst exact": (S.CLOSED, NOTHING),
    "rst in window": (None, AN_ACK),
    "rst outside": (None, NOTHING),
    "rst ack exact": (S.CLOSED, NOTHING),
    "syn in window": (None, AN_ACK),
    "syn again": (None, AN_ACK),
    "syn ack in window": (None, AN_ACK),
    "nothing set": (None, NOTHING),
    "ack": (None, NOTHING),
    "ack of the future": (None, AN_ACK),
    "ack of long ago": (None, AN_ACK),
    "data": (None, AN_ACK),
    "data again": (None, AN_ACK),
    "data beyond the window": (None, AN_ACK),
    "data ahead": (None, AN_ACK),
    "fin": (None, AN_ACK),
    "fin with data": (None, AN_ACK),
}
"""In a synchronized state, where nothing below says otherwise; None: it stays."""

UNHEARD = {
    "data": (None, NOTHING),
    "data ahead": (None, NOTHING),
    "fin": (None, NOTHING),
    "fin with data": (None, NOTHING),
}
"""After the peer's FIN nothing can follow it: what claims to is not taken (section 3.10.7.4, seventh and eighth)."""

EXPECTED: dict[TcpState, dict[str, tuple[TcpState | None, str]]] = {
    S.CLOSED: dict.fromkeys(SEGMENTS, (None, NOTHING)),
    S.SYN_SENT: {
        **dict.fromkeys(SEGMENTS, (None, NOTHING)),
        "rst ack exact": (S.CLOSED, NOTHING),
        "syn in window": (S.SYN_RECEIVED, SYN_ACK),
        "syn again": (S.SYN_RECEIVED, SYN_ACK),
        "syn ack in window": (S.ESTABLISHED, AN_ACK),
        "ack of the future": (None, A_RESET),
        "ack of long ago": (None, A_RESET),
    },
    S.SYN_RECEIVED: {
        **DEFAULT,
        "syn again": (None, SYN_ACK),
        "ack": (S.ESTABLISHED, NOTHING),
        "ack of the future": (None, A_RESET),
        "ack of long ago": (None, A_RESET),
        "data": (S.ESTABLISHED, AN_ACK),
        "data ahead": (S.ESTABLISHED, AN_ACK),
        "fin": (S.CLOSE_WAIT, AN_ACK),
        "fin with data": (S.CLOSE_WAIT, AN_ACK),
    },
    S.ESTABLISHED: {**DEFAULT, "fin": (S.CLOSE_WAIT, AN_ACK), "fin with data": (S.CLOSE_WAIT, AN_ACK)},
    S.FIN_WAIT_1: {
        **DEFAULT,
        "ack": (S.FIN_WAIT_2, NOTHING),
        "data": (S.FIN_WAIT_2, AN_ACK),
        "data ahead": (S.FIN_WAIT_2, AN_ACK),
        "fin": (S.TIME_WAIT, AN_ACK),
        "fin with data": (S.TIME_WAIT, AN_ACK),
    },
    S.FIN_WAIT_2: {**DEFAULT, "fin": (S.TIME_WAIT, AN_ACK), "fin with data": (S.TIME_WAIT, AN_ACK)},
    S.CLOSE_WAIT: {**DEFAULT, **UNHEARD},
    S.CLOSING: {
        **DEFAULT,
        "ack": (S.TIME_WAIT, NOTHING),
        "data": (S.TIME_WAIT, NOTHING),
        "data ahead": (S.TIME_WAIT, NOTHING),
        "fin": (S.TIME_WAIT, AN_ACK),
        "fin with data": (S.TIME_WAIT, AN_ACK),
    },
    S.LAST_ACK: {
        **DEFAULT,
        "ack": (S.CLOSED, NOTHING),
        "data": (S.CLOSED, NOTHING),
        "data ahead": (S.CLOSED, NOTHING),
        "fin": (S.CLOSED, NOTHING),
        "fin with data": (S.CLOSED, NOTHING),
    },
    S.TIME_WAIT: {**DEFAULT, **UNHEARD, "fin": (None, AN_ACK), "fin with data": (None, AN_ACK)},
}
"""LISTEN is not a connection here: test_listening.py has its rows."""


@pytest.mark.parametrize("state", EXPECTED, ids=lambda state: state.name)
@pytest.mark.parametrize("name", SEGMENTS)
def test_every_state_with_every_segment(state: TcpState, name: str) -> None:
    bare = in_state(state)
    flags, seq, ack, payload = SEGMENTS[name]
    answers = bare.feed(flags, seq, ack, payload)
    expected, reply = EXPECTED[state][name]
    assert bare.connection.state is (expected or state)
    kinds = [_kind(answer.flags) for answer in answers]
    assert kinds == ([reply] if reply else [])


def _kind(flags: int) -> str:
    if flags & RST:
        return A_RESET
    if flags & SYN:
        return SYN_ACK
    assert flags & ACK
    return AN_ACK


CALLS: dict[TcpState, dict[str, TcpState]] = {
    S.CLOSED: {"finish": S.CLOSED, "abort": S.CLOSED},
    S.SYN_SENT: {"finish": S.CLOSED, "abort": S.CLOSED},
    S.SYN_RECEIVED: {"finish": S.SYN_RECEIVED, "abort": S.CLOSED},
    S.ESTABLISHED: {"finish": S.FIN_WAIT_1, "abort": S.CLOSED},
    S.FIN_WAIT_1: {"finish": S.FIN_WAIT_1, "abort": S.CLOSED},
    S.FIN_WAIT_2: {"finish": S.FIN_WAIT_2, "abort": S.CLOSED},
    S.CLOSE_WAIT: {"finish": S.LAST_ACK, "abort": S.CLOSED},
    S.CLOSING: {"finish": S.CLOSING, "abort": S.CLOSED},
    S.LAST_ACK: {"finish": S.LAST_ACK, "abort": S.CLOSED},
    S.TIME_WAIT: {"finish": S.TIME_WAIT, "abort": S.CLOSED},
}


@pytest.mark.parametrize("state", CALLS, ids=lambda state: state.name)
def test_every_state_with_the_users_calls(state: TcpState) -> None:
    bare = in_state(state)
    bare.connection.finish()
    assert bare.connection.state is CALLS[state]["finish"]
    bare = in_state(state)
    bare.connection.abort(bare.now)
    assert bare.connection.state is CALLS[state]["abort"]
    silent = (S.CLOSED, S.SYN_SENT, S.TIME_WAIT)  # nobody there to be told (section 3.10.5)
    assert [answer.flags & RST for answer in bare.sent()] == ([] if state in silent else [RST])


def test_a_close_before_the_handshake_is_done_follows_it() -> None:
    bare = in_state(S.SYN_RECEIVED)
    bare.connection.finish()
    (fin,) = bare.feed(ACK)
    assert fin.flags & FIN
    assert bare.connection.state is S.FIN_WAIT_1


@pytest.mark.parametrize("state", TcpState)
@pytest.mark.parametrize("happening", Happening)
def test_the_table_of_states_leads_only_where_figure_5_does(state: TcpState, happening: Happening) -> None:
    reached = after(state, happening)
    assert ((state, happening) in TRANSITIONS) == (reached is not state or (state is S.CLOSED and happening in ENDS))


ENDS = (Happening.ABORT, Happening.RESET)
