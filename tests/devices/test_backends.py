"""The table of backends: what each declares is what users can type, are told, and get."""

import contextlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnic import devices
from asyncnic.devices import BACKENDS, open_device
from asyncnic.devices.backend import Backend, Finding
from asyncnic.devices.device import Device, DeviceOptions
from asyncnic.errors import DeviceError
from asyncnic.service.preflight import check
from asyncnic.settings.knobs import Knobs
from asyncnic.settings.load import load
from asyncnic.settings.model import Settings


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("eth0", "must be tap:NAME, packet:INTERFACE, macvtap:INTERFACE, uio:PCI-ADDRESS, qemu:TAPNAME or pcap:FILE"),
        (
            "queue:tap0:3",
            "must be tap:NAME, packet:INTERFACE, macvtap:INTERFACE, uio:PCI-ADDRESS, qemu:TAPNAME or pcap:FILE",
        ),
        ("tap:", "must be an interface name of 1 to 15 characters"),
        ("tap:sixteen-letters-", "must be an interface name of 1 to 15 characters"),
        ("tap:a b", "must be an interface name"),
        ("uio:3", "must name a PCI function, like uio:0000:00:03.0"),
    ],
)
def test_what_names_no_device_says_what_must_be(typed: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        devices.device(typed)


@pytest.mark.parametrize(
    ("typed", "value"), [("uio:0000:00:1F.3", "uio:0000:00:1f.3"), ("qemu:tap0", "qemu:tap0"), ("tap:a", "tap:a")]
)
def test_what_names_a_device_is_taken_in_its_normal_form(typed: str, value: str) -> None:
    assert devices.device(typed) == value == devices.device(value)


@given(st.text())
def test_any_text_is_a_device_or_a_value_error(text: str) -> None:
    for typed in (text, *(f"{name}:{text}" for name in BACKENDS)):
        with contextlib.suppress(ValueError):
            assert devices.device(devices.device(typed)) == devices.device(typed)


def test_the_help_has_every_backend() -> None:
    description = Settings.model_fields["device"].description
    assert description is not None
    for name, backend in BACKENDS.items():
        assert backend.name == name
        assert backend.grammar in description
        assert backend.help in description


async def test_what_a_new_backend_declares_is_all_there_is_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(argument: str) -> str:
        if argument != "4":
            raise ValueError("must be null:4")
        return argument

    def look(argument: str, options: DeviceOptions) -> Sequence[Finding]:
        return [Finding(f"null {argument} with {options.mtu}", False, "none", 4)]

    async def refuse(argument: str, options: DeviceOptions) -> Device:
        raise DeviceError(f"null:{argument}: nothing there")

    spec = Backend(name="null", argument="FOUR", help="nothing", parse=parse, check=look, open=refuse)
    monkeypatch.setattr(devices, "BACKENDS", {**BACKENDS, "null": spec})
    assert devices.described().endswith(" or null:FOUR (nothing)")
    settings = load({"device": "null:4", "listen": "127.0.0.1:0"}, {}, None)
    assert [finding.what for finding in check(settings) if not finding.ok] == ["null 4 with 1500"]
    with pytest.raises(DeviceError, match="null:4: nothing there"):
        await open_device("null:4", DeviceOptions(None, 1500, "", 1 << 20, Knobs()))
