"""What of UIO needs no card: sysfs as files, the order of unmasking, and errors. A card is in tests/guest."""

import mmap
import os
from pathlib import Path

import pytest

from asyncnic.devices.uio.device import UioDevice, UioLane, UioPort
from asyncnic.devices.uio.huge_pages import HugePage
from asyncnic.devices.uio.pci import COMMAND_MASTER, COMMAND_NO_INTX, PciFunction, bind, unbind
from asyncnic.errors import DeviceError, DeviceLost, PrivilegeError
from asyncnic.nic.opening import open_nic
from asyncnic.pcnet32.memory import DmaMemory
from asyncnic.pcnet32.registers import DWIO_RESET, WIO_RESET
from tests.devices.uio.card import ADDRESS, Page


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    """A PCnet function that pcnet32 has, in a /sys/bus/pci of plain files: no driver reacts to what is written."""
    function = tmp_path / "devices" / ADDRESS
    function.mkdir(parents=True)
    driver = tmp_path / "drivers" / "pcnet32"
    driver.mkdir(parents=True)
    (tmp_path / "drivers" / "uio_pci_generic").mkdir()
    (tmp_path / "drivers_probe").touch()
    (function / "vendor").write_text("0x1022\n")
    (function / "device").write_text("0x2000\n")
    (function / "driver").symlink_to(driver)
    (function / "config").write_bytes(bytes(64))
    return tmp_path


def function_of(sysfs: Path) -> Path:
    return sysfs / "devices" / ADDRESS


@pytest.mark.parametrize("address", ["0000:00:1f.7", "3.0", "../..", ""])
def test_a_function_that_is_not_there_is_an_error(sysfs: Path, address: str) -> None:
    with pytest.raises(DeviceError, match="no such PCI function"):
        PciFunction(address, sysfs)


def test_another_card_is_refused(sysfs: Path) -> None:
    (function_of(sysfs) / "device").write_text("0x100e\n")
    with pytest.raises(DeviceError, match=r"not a PCnet NIC \(1022:2000\)"):
        bind(ADDRESS, sysfs)


def test_binding_releases_overrides_and_probes_in_that_order(sysfs: Path) -> None:
    with pytest.raises(DeviceError, match="uio_pci_generic does not take it"):
        bind(ADDRESS, sysfs)
    assert (function_of(sysfs) / "driver/unbind").read_text() == ADDRESS
    assert (function_of(sysfs) / "driver_override").read_text() == "uio_pci_generic"
    assert (sysfs / "drivers_probe").read_text() == ADDRESS


def test_unbinding_clears_the_override_and_leaves_another_driver_alone(sysfs: Path) -> None:
    assert unbind(ADDRESS, sysfs) == "pcnet32"
    assert (function_of(sysfs) / "driver_override").read_text() == "\n"
    assert not (function_of(sysfs) / "driver/unbind").exists()


def test_registers_are_accessed_in_the_width_asked_for_and_gone_when_short(tmp_path: Path) -> None:
    window = tmp_path / "resource0"
    window.write_bytes(bytes(range(32)))
    with window.open("r+b") as file:
        port = UioPort(file.fileno(), DmaMemory.anonymous(4096))
        assert [port.read(0x10, width) for width in (1, 2, 4)] == [0x10, 0x1110, 0x13121110]
        port.write(0x12, 2, 0xABCD)
        assert port.read(0x12, 2) == 0xABCD
        assert not port.gone
        assert port.read(31, 2) == 0xFFFF
        assert port.gone


def test_the_interrupt_is_unmasked_once_for_each_that_was_told(sysfs: Path) -> None:
    told, tell = os.pipe()
    os.set_blocking(told, False)
    with (function_of(sysfs) / "config").open("r+b", buffering=0) as config:
        function = PciFunction(ADDRESS, sysfs)
        lane = UioLane("uio", UioPort(-1, DmaMemory.anonymous(4096)), function, told, config.fileno())
        function.write_command(config.fileno(), 0x0507)
        lane.interrupt()
        lane.unmask()
        assert function.read_command(config.fileno()) == 0x0507  # nothing was told: the mask is somebody else's
        os.write(tell, b"\1\0\0\0")
        lane.interrupt()
        lane.unmask()
        assert function.read_command(config.fileno()) == 0x0507 & ~COMMAND_NO_INTX
        function.write_command(config.fileno(), 0x0507)
        lane.unmask()
        assert function.read_command(config.fileno()) == 0x0507
    os.close(told)
    os.close(tell)
    with pytest.raises(DeviceLost):
        lane.interrupt()
    with pytest.raises(DeviceLost):
        lane.poll(1)


async def test_the_chip_is_reset_before_it_may_write_to_memory(sysfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process's rings may still be in it."""
    for name in ("resource0", "uio0"):
        (function_of(sysfs) / name).write_bytes(bytes(32))
    config = function_of(sysfs) / "config"
    config.write_bytes(bytes(4) + COMMAND_MASTER.to_bytes(2, "little") + bytes(58))
    seen: list[tuple[int, bool]] = []

    def read(port: UioPort, offset: int, width: int) -> int:
        seen.append((offset, bool(config.read_bytes()[4] & COMMAND_MASTER)))
        return 0

    monkeypatch.setattr("asyncnic.devices.uio.device.HugePage", Page)
    monkeypatch.setattr(UioPort, "read", read)
    device = UioDevice(PciFunction(ADDRESS, sysfs), function_of(sysfs) / "uio0", 4096)
    assert seen == [(WIO_RESET, False), (DWIO_RESET, False)]
    assert config.read_bytes()[4] & COMMAND_MASTER
    await device.close()
    assert not config.read_bytes()[4] & COMMAND_MASTER


def test_a_page_whose_address_is_hidden_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def take(page: HugePage) -> tuple[int, mmap.mmap]:
        file = os.memfd_create("not huge")
        os.ftruncate(file, mmap.PAGESIZE)
        return file, mmap.mmap(file, mmap.PAGESIZE)

    def hidden(page: HugePage, pages: mmap.mmap) -> int:
        raise PrivilegeError("hidden")

    monkeypatch.setattr(HugePage, "_take", take)
    monkeypatch.setattr(HugePage, "_bus_address", hidden)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(PrivilegeError):
        HugePage("uio:x")
    assert os.listdir("/proc/self/fd") == before


async def test_an_absent_card_is_one_line_with_the_fix() -> None:
    with pytest.raises(DeviceError, match=r"^ffff:00:00\.0: no such PCI function: see lspci"):
        async with open_nic("uio:ffff:00:00.0"):
            pass
