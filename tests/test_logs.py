"""One event a line, as text or JSON, and not too many of them."""

import io
import json
import logging
import os

from asyncnic import logs
from asyncnic.logs import EVENTS_AN_INTERVAL, INTERVAL, MOST_EVENTS, RateLimit, fields

log = logging.getLogger("asyncnic.test")


def logged(form: str, level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    logs.configure(form, level, stream)
    return stream


def record(message: str, created: float) -> logging.LogRecord:
    found = logging.LogRecord("asyncnic.test", logging.INFO, "", 0, message, None, None)
    found.created = created
    return found


def test_json_is_one_object_a_line() -> None:
    stream = logged("json")
    log.info("ready", extra=fields(device="tap:x", port=9732))
    event = json.loads(stream.getvalue())
    assert event.pop("time").endswith("Z")
    assert event == {"level": "info", "logger": "asyncnic.test", "event": "ready", "device": "tap:x", "port": 9732}


def test_text_is_one_printable_line() -> None:
    stream = logged("text")
    log.warning("two\nlines \x1b[2J", extra=fields(a="x y", b="", c=1))
    line = stream.getvalue()
    assert line.count("\n") == 1
    assert line.endswith('warning two\\nlines \\x1b[2J a="x y" b="" c=1\n')


def test_an_exception_is_a_field_and_no_traceback() -> None:
    stream = logged("text")
    try:
        raise ValueError("bad\nthing")
    except ValueError:
        log.exception("it failed")
    assert stream.getvalue().count("\n") == 1
    assert 'error="ValueError: bad\\\\nthing at ' in stream.getvalue()


def test_debug_adds_where_it_came_from() -> None:
    stream = logged("json", "debug")
    try:
        raise ValueError
    except ValueError:
        log.exception("it failed")
    assert any("raise ValueError" in line for line in json.loads(stream.getvalue())["traceback"])


def test_levels() -> None:
    stream = logged("text", "warning")
    log.info("quiet")
    logging.getLogger("somebody.else").info("quiet")
    logging.getLogger("somebody.else").warning("heard")
    assert [line.split()[2] for line in stream.getvalue().splitlines()] == ["heard"]


def test_the_same_event_is_limited_and_the_rest_is_counted() -> None:
    limit = RateLimit()
    passed = [limit.filter(record("flood", 100.0 + number / 1000)) for number in range(EVENTS_AN_INTERVAL + 7)]
    assert passed == [True] * EVENTS_AN_INTERVAL + [False] * 7
    assert limit.filter(record("another", 100.5))
    late = record("flood", 100.0 + INTERVAL)
    assert limit.filter(late)
    assert late.__dict__["fields"] == {"suppressed": 7}
    later = record("flood", 100.0 + 3 * INTERVAL)
    assert limit.filter(later)
    assert "fields" not in later.__dict__


def test_the_limit_remembers_a_bounded_number_of_events() -> None:
    limit = RateLimit()
    for number in range(MOST_EVENTS + 50):
        assert limit.filter(record(f"event {number}", 1.0))
    assert len(limit._windows) == MOST_EVENTS


def test_lines_that_find_no_room_are_counted_and_told_later() -> None:
    reader, writer = os.pipe()
    handler = logs.LineHandler(writer)
    sent = 0
    while not handler.lost:
        handler.emit(record("x" * 1000, 1.0))
        sent += 1
    handler.emit(record("lost too", 1.0))
    assert handler.lost == 2
    seen = os.read(reader, 1 << 20)
    handler.setFormatter(logs.TextFormatter())
    handler.emit(record("heard", 1.0))
    assert (handler.lost, seen.count(b"\n")) == (0, sent - 1)
    assert os.read(reader, 1 << 20).endswith(b"heard lines_lost_before=2\n")
    os.close(reader)
    handler.emit(record("nobody reads", 1.0))
    assert handler.lost == 1
    os.close(writer)
