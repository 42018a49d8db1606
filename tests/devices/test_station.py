"""The derived MAC address: what it depends on, and what not."""

import subprocess
import sys
from pathlib import Path

import pytest

from asyncnic.devices.station import station_address


def test_it_is_local_unicast_and_stays() -> None:
    address = station_address("asyncnic0")
    assert address == station_address("asyncnic0") != station_address("asyncnic1")
    assert len(address) == 6
    assert address[0] & 3 == 2


def test_it_does_not_change_with_the_host_name() -> None:
    said = "from asyncnic.devices.station import station_address; print(station_address('asyncnic0').hex())"
    named = f"import socket; socket.sethostname('one-start-of-a-container'); {said}"
    command = ["unshare", "--uts", sys.executable, "-c", named]
    elsewhere = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert elsewhere == station_address("asyncnic0").hex()


def test_it_differs_between_machines_and_between_parents(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = {station_address("macvtap:eth0", bytes(6)), station_address("macvtap:eth0", bytes(5) + b"\1")}
    for number, text in enumerate((b"1" * 32, b"2" * 32, b"", b"\xff")):
        file = tmp_path / str(number)
        file.write_bytes(text)
        monkeypatch.setattr("asyncnic.devices.station._MACHINE_ID", file)
        found.add(station_address("macvtap:eth0", bytes(6)))
    monkeypatch.setattr("asyncnic.devices.station._MACHINE_ID", tmp_path / "none")
    nameless = station_address("macvtap:eth0", bytes(6))
    assert nameless in found
    assert len(found) >= 4
