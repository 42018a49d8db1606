"""What the service and a worker say to each other: a dataclass a message, and the one codec for all of them. Pure.

A message on the wire is its name, a blank, and its fields as JSON. Descriptors travel beside it (channel.py).

    the service     Start (first, and nothing before it), Ask, Hold, Resume, Turn, Queues, Frame, Stop
    the worker      Ready (or Failure), then Answer for each Ask, Hold and Stop; Frame; Failure (last)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from pydantic import BeforeValidator, PlainSerializer, TypeAdapter

from asyncnic.service.workers.snapshot import Snapshot
from asyncnic.settings.knobs import Knobs

Octets = Annotated[bytes, PlainSerializer(bytes.hex), BeforeValidator(bytes.fromhex)]


@dataclass(frozen=True, slots=True)
class Start:
    """Serve as worker number `index`. The queues to read come beside it, the highest lane's first."""

    index: int
    settings: dict[str, Any]
    """In their JSON form."""
    knobs: Knobs
    """As they stand now, which may be ahead of the settings."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Say what you have counted; with `rings`, descriptors, registers and sockets too."""

    number: int = 0
    rings: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """The same, and read no frame afterwards: until `Resume`, or for child.HOLD_SECONDS."""

    number: int = 0


@dataclass(frozen=True, slots=True)
class Stop:
    """Take no more frames, deliver what the ring holds, say what you have counted, and end."""

    number: int = 0


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The knobs from now on."""

    knobs: Knobs


@dataclass(frozen=True, slots=True)
class Queues:
    """The TAP is back: the queues to read come beside this message, the highest lane's first."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of one worker that the stacks of the others may wait for, such as an ARP reply."""

    octets: Octets


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker serves."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the worker has counted, for the question with this number."""

    number: int
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the worker ends, in one line."""

    problem: str


Question = Ask | Hold | Stop
"""Messages with a number, which the answer carries."""
Message = Start | Ask | Hold | Stop | Resume | Turn | Queues | Frame | Ready | Answer | Failure

_ADAPTERS: Mapping[str, TypeAdapter[Any]] = {kind.__name__: TypeAdapter(kind) for kind in get_args(Message)}


def encode(message: Message) -> bytes:
    """The message as octets."""
    name = type(message).__name__
    return name.encode() + b" " + _ADAPTERS[name].dump_json(message)


def decode(octets: bytes) -> Message:
    """The message that `encode` made these octets of.

    Raises:
        ValueError: it made none such.
    """
    name, _, body = octets.partition(b" ")
    adapter = _ADAPTERS.get(name.decode(errors="replace"))
    if adapter is None:
        raise ValueError(f"no message is called {name[:40]!r}")
    message: Message = adapter.validate_json(body)
    return message
