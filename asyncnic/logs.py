"""The log: one event a line on stderr, as text or JSON, rate-limited.

It is not for frames: whatever happens once a frame is a counter. An event is a constant message with fields
(``log.info("ready", extra=fields(listen="127.0.0.1:9732"))``), so that the rate limit and whoever searches the log can
go by the message. An exception becomes fields of the same line, never a traceback below it; level debug adds where it
came from. Whoever reads stderr can neither stop the service nor hold it up.
"""

import json
import logging
import os
import select
import sys
import traceback
from datetime import UTC, datetime
from typing import TextIO

EVENTS_AN_INTERVAL = 5
"""How often the same event may be logged within INTERVAL."""
INTERVAL = 10.0
"""Seconds."""
MOST_EVENTS = 256
"""How many different events the rate limit remembers."""


def fields(**values: object) -> dict[str, object]:
    """The `extra` of a log call: `values` become fields of the event."""
    return {"fields": values}


class RateLimit(logging.Filter):
    """Lets the same event through a few times an interval; the next that passes says how many did not.

    Time is the record's own, so the filter has no clock.
    """

    def __init__(self) -> None:
        super().__init__()
        self._windows: dict[tuple[str, str], list[float]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether `record` may pass; adds the field `suppressed` where some before it did not."""
        key = (record.name, str(record.msg))
        window = self._windows.get(key)
        if window is None or record.created - window[0] >= INTERVAL:
            if window is None and len(self._windows) >= MOST_EVENTS:
                del self._windows[next(iter(self._windows))]
            suppressed = int(max(0.0, window[1] - EVENTS_AN_INTERVAL)) if window else 0
            self._windows[key] = [record.created, 1.0]
            if suppressed:
                record.__dict__["fields"] = {**record.__dict__.get("fields", {}), "suppressed": suppressed}
            return True
        window[1] += 1.0
        return window[1] <= EVENTS_AN_INTERVAL


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, event, then the event's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of `record`."""
        event = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name}
        return json.dumps({**event, "event": record.getMessage(), **_fields(record)}, default=str)


class TextFormatter(logging.Formatter):
    """Time, level, event and ``name=value`` for each field, in one printable line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of `record`."""
        parts = [_time(record), f"{record.levelname.lower():<7}", _printable(record.getMessage())]
        parts += [f"{name}={_quoted(value)}" for name, value in _fields(record).items()]
        return " ".join(parts)


class LineHandler(logging.Handler):
    """Writes lines to `descriptor` for as long as somebody takes them, and never waits: lines that find no room are
    counted, and the next that finds some says how many they were.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of `record`, or count it."""
        lost = self.lost
        if lost:
            record.__dict__["fields"] = {**record.__dict__.get("fields", {}), "lines_lost_before": lost}
        if write_line(self._descriptor, self.format(record), 0.0):
            self.lost -= lost
        else:
            self.lost += 1


def configure(form: str, level: str, stream: TextIO | None = None) -> None:
    """Send everything of `level` and above to `stream` (stderr) in `form` ("text" or "json").

    Other people's libraries are heard from warnings on.
    """
    descriptor = _descriptor(sys.stderr) if stream is None else None
    handler = logging.StreamHandler(stream or sys.stderr) if descriptor is None else LineHandler(descriptor)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.addFilter(RateLimit())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("asyncnic").setLevel(level.upper())


def say(line: str) -> None:
    """Write `line` to stderr; whoever reads it gets a second to take it."""
    descriptor = _descriptor(sys.stderr)
    if descriptor is None:
        print(line, file=sys.stderr, flush=True)
    else:
        write_line(descriptor, line, 1.0)


def write_line(descriptor: int, line: str, patience: float) -> bool:
    """Write `line`; False where not all of it found room within `patience` seconds, or nobody reads any more.

    The descriptor is asked before each piece whether it has room, and stays blocking: it may be the terminal of others.
    """
    data = memoryview(f"{line}\n".encode("utf-8", "backslashreplace"))
    room = select.poll()
    room.register(descriptor, select.POLLOUT)
    try:
        while data:
            if not room.poll(patience * 1000):
                return False
            data = data[os.write(descriptor, data[: select.PIPE_BUF]) :]
    except OSError:
        return False
    return True


def _descriptor(stream: TextIO | None) -> int | None:
    """The descriptor of `stream`; None where it has none."""
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):
        return None


def describe(error: BaseException) -> str:
    """`error` in one line: its type, what it says, and the line of code that raised it."""
    text = _printable(str(error))
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{': ' if text else ''}{text}{where}"


def _fields(record: logging.LogRecord) -> dict[str, object]:
    found: dict[str, object] = dict(record.__dict__.get("fields", {}))
    if record.exc_info and record.exc_info[1] is not None:
        found["error"] = describe(record.exc_info[1])
        if logging.getLogger("asyncnic").isEnabledFor(logging.DEBUG):
            found["traceback"] = traceback.format_exception(record.exc_info[1])
    return found


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _printable(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def _quoted(value: object) -> str:
    text = _printable(str(value))
    return json.dumps(text) if not text or set(text) & set(' "=') else text
