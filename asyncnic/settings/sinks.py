"""How a sink is written: PORT=nats://HOST/SUBJECT, PORT=redis://HOST/STREAM. Grammar only: nothing is connected here.

A sink is what `--service` takes besides protocols: the datagrams of a port go into a stream of a message broker. Text
with a password in it is never shown as it is: see `values.redacted`.
"""

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import SerializationInfo

from asyncnic.settings import values

SCHEMES = {
    "nats": ("nats", 4222, False),
    "tls": ("nats", 4222, True),
    "redis": ("redis", 6379, False),
    "rediss": ("redis", 6379, True),
}
"""Scheme -> kind of broker, its port, whether it is TLS."""
WITH_SECRETS = {"secrets": True}
"""The pydantic context in which services are dumped as they were given, for a process of ours."""
MAXLEN = 1_000_000
"""Entries that a stream of Redis holds, about, where the URL does not say."""
_OPTIONS = {"nats": {"ca"}, "redis": {"ca", "db", "maxlen"}}
_SUBJECT = re.compile(r"[^\s.*>]+(?:\.[^\s.*>]+)*")
_BROKER = "must have the broker as HOST or HOST:PORT; what is special in a password is written %XX"


@dataclass(frozen=True, slots=True)
class SinkAddress:
    """Where the datagrams of a port go.

    Attributes:
        port: whose datagrams.
        kind: "nats" or "redis".
        host, broker_port: of the broker.
        target: NATS's subject or Redis's key.
        name: how it is shown: the port and the URL, without user, password and options.
        user, password: empty: none. With NATS a user without a password is a token.
        tls: whether the connection is encrypted and the broker's certificate verified.
        ca: file of the certificates that are trusted; empty: the system's.
        maxlen: entries that the stream holds, about (Redis).
        db: number of the database (Redis).
    """

    port: int
    kind: str
    host: str
    broker_port: int
    target: str
    name: str
    user: str = ""
    password: str = ""
    tls: bool = False
    ca: str = ""
    maxlen: int = MAXLEN
    db: int = 0


def is_sink(text: str) -> bool:
    """Whether a service is written as a sink."""
    return "=" in text.partition("://")[0]


def service(value: object) -> str:
    """A checker for the setting: a protocol's name and port (`values.service`), or a sink."""
    text = str(value)
    if not is_sink(text):
        return values.service(value)
    parse_sink(text)
    return text


_SINK = rf"^[0-9]{{1,5}}=(?:{'|'.join(SCHEMES)})://"
values.TAKES[service] = {
    "type": "string",
    "anyOf": [{"pattern": values.TAKES[values.service]["pattern"]}, {"pattern": _SINK}],
}


def shown_service(value: str, info: SerializationInfo) -> str:
    """A serializer for the setting: without passwords, but in the context `WITH_SECRETS`."""
    return value if (info.context or {}).get("secrets") else values.redacted(value)


def parse_sink(text: str) -> SinkAddress:
    """Read "PORT=SCHEME://[USER[:PASSWORD]@]HOST[:PORT]/TARGET[?ca=FILE][&maxlen=N][&db=N]".

    Raises:
        ValueError: what it must be; nothing of `text` is in the message.
    """
    number, _, url = text.partition("=")
    if not number.isascii() or not number.isdigit() or not 1 <= int(number) <= 65535:
        raise ValueError("must be PORT=URL with a port from 1 to 65535, like 514=nats://127.0.0.1:4222/syslog")
    try:
        parts = urlsplit(url)
        broker_port = parts.port
    except ValueError:
        raise ValueError(_BROKER) from None
    if parts.scheme not in SCHEMES:
        raise ValueError(f"must be PORT=URL with one of {', '.join(f'{scheme}://' for scheme in SCHEMES)}")
    kind, standard, tls = SCHEMES[parts.scheme]
    if not parts.hostname or broker_port == 0 or parts.fragment:
        raise ValueError(_BROKER)
    target = unquote(parts.path.removeprefix("/"))
    what = "subject" if kind == "nats" else "stream"
    if not target or not target.isprintable() or (kind == "nats" and not _SUBJECT.fullmatch(target)):
        raise ValueError(f"must end in /{what.upper()}: the name of a {what}, without wildcards")
    options = _options(parts, kind)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return SinkAddress(
        port=int(number),
        kind=kind,
        host=parts.hostname,
        broker_port=broker_port or standard,
        target=target,
        name=f"{int(number)}={parts.scheme}://{host}:{broker_port or standard}/{target}",
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        tls=tls,
        ca=options.get("ca", ""),
        maxlen=_number(options, "maxlen", 1, 10**12, MAXLEN),
        db=_number(options, "db", 0, 65535, 0),
    )


def _options(parts: SplitResult, kind: str) -> dict[str, str]:
    try:
        found = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise ValueError("must have its options as ?NAME=VALUE&NAME=VALUE") from None
    if found.keys() - _OPTIONS[kind]:
        raise ValueError(f"takes no options but {', '.join(sorted(_OPTIONS[kind]))}")
    return found


def _number(options: dict[str, str], name: str, low: int, high: int, default: int) -> int:
    try:
        return values.whole_within(low, high)(options.get(name, default))
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None
