"""How sinks are written, what is said of those that are not, and that no password is ever shown."""

import json
from pathlib import Path

import pytest

from asyncnic.errors import SettingsError
from asyncnic.settings.load import load
from asyncnic.settings.model import Settings
from asyncnic.settings.sinks import WITH_SECRETS, SinkAddress, is_sink, parse_sink

SECRET = "h@rd/2 guess,%"
WRITTEN = "h%40rd%2F2%20guess%2C%25"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (
            "514=nats://127.0.0.1:4223/logs.syslog",
            SinkAddress(514, "nats", "127.0.0.1", 4223, "logs.syslog", "514=nats://127.0.0.1:4223/logs.syslog"),
        ),
        (
            f"514=tls://me:{WRITTEN}@nats.example/logs?ca=/etc/ca.pem",
            SinkAddress(
                514, "nats", "nats.example", 4222, "logs", "514=tls://nats.example:4222/logs", "me", SECRET, True,
                "/etc/ca.pem",
            ),
        ),
        (
            f"2055=rediss://:{WRITTEN}@[2001:db8::1]/flows?maxlen=5&db=3",
            SinkAddress(
                2055, "redis", "2001:db8::1", 6379, "flows", "2055=rediss://[2001:db8::1]:6379/flows", "", SECRET, True,
                "", 5, 3,
            ),
        ),
    ],
)  # fmt: skip
def test_what_is_written_is_read(text: str, address: SinkAddress) -> None:
    assert parse_sink(text) == address
    assert SECRET not in address.name
    assert WRITTEN not in address.name


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0=nats://h/s", "port from 1 to 65535"),
        ("x=nats://h/s", "port from 1 to 65535"),
        ("=nats://h/s", "port from 1 to 65535"),
        ("514=kafka://h/s", "nats://, tls://, redis://, rediss://"),
        ("514=nats:///s", "HOST or HOST:PORT"),
        ("514=nats://h:0/s", "HOST or HOST:PORT"),
        ("514=nats://h:99999/s", "HOST or HOST:PORT"),
        ("514=nats://[h/s", "HOST or HOST:PORT"),
        ("514=nats://h/s#f", "HOST or HOST:PORT"),
        ("514=nats://h", "/SUBJECT"),
        ("514=nats://h/a.*", "without wildcards"),
        ("514=nats://h/a..b", "without wildcards"),
        ("514=redis://h/", "/STREAM"),
        ("514=redis://h/a%0A", "/STREAM"),
        ("514=nats://h/s?maxlen=5", "no options but ca"),
        ("514=redis://h/s?maxlen=0", "maxlen must be a whole number"),
        ("514=redis://h/s?maxlen", "?NAME=VALUE"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({"service": (text,)}, {}, None)
    assert says in str(caught.value)
    assert str(caught.value).startswith("--service ")


def test_a_protocol_is_no_sink() -> None:
    assert not is_sink("udp-echo:7")
    assert not is_sink("tcp:package.module:factory:7")
    assert load({"service": ("udp-echo:7", "514=nats://h/s")}, {}, None).service == ("udp-echo:7", "514=nats://h/s")


@pytest.mark.parametrize("password", ["s3cret", "s3cret@x", "s3cret/x", "s3cret x", "s3cret,x", "s3cret#x", "s3cret:x"])
@pytest.mark.parametrize("way", ["flag", "variable", "file"])
@pytest.mark.parametrize("wrong", [False, True])
def test_no_way_of_configuring_shows_a_password(password: str, way: str, wrong: bool, tmp_path: Path) -> None:
    url = f"514=redis://me:{password}@h/{'' if wrong else 's'}"
    flags = {"service": (url,)} if way == "flag" else {}
    file = tmp_path / "asyncnic.toml"
    if way == "file":
        file.write_text(f"service = [{json.dumps(url)}]\n")
    variables = {"ASYNCNIC_SERVICE": url} if way == "variable" else {}
    try:
        settings = load(flags, variables, file if way == "file" else None)
        said = json.dumps(settings.model_dump(mode="json")) + settings.origin("service")
    except SettingsError as error:
        said = str(error)
    assert "s3cret" not in said


def test_a_process_of_ours_gets_services_as_they_were_given() -> None:
    settings = load({"service": (f"514=redis://:{WRITTEN}@h/s",)}, {}, None)
    again = Settings.model_validate(settings.model_dump(mode="json", context=WITH_SECRETS))
    assert again.service == settings.service
