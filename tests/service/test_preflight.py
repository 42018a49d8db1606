"""The preflight in this network namespace: what it finds, what it says, which exit code it gives."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from asyncnic.cli import main
from asyncnic.devices.backend import DEVICE, PRIVILEGE, Finding
from asyncnic.service.preflight import FAILED, USAGE, as_text, check, exit_code
from asyncnic.settings.load import load
from tests.process import service


def missing(**flags: object) -> dict[str, str]:
    """What is missing, with the fix."""
    given = {"listen": "127.0.0.1:0", **flags}
    return {finding.what: finding.fix for finding in check(load(given, {}, None)) if not finding.ok}


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def unprivileged(*flags: str) -> tuple[int, list[dict[str, object]]]:
    """Exit code and findings of a check without any capability."""
    command = [
        "unshare",
        "--user",
        "--map-user=1000",
        sys.executable,
        "-m",
        "asyncnic",
        "check",
        "--json",
        "--listen",
        "127.0.0.1:0",
        *flags,
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return ended.returncode, [found for found in json.loads(ended.stdout) if not found["ok"]]


def test_nothing_is_missing_for_root(tap_name: str) -> None:
    assert missing(device=f"tap:{tap_name}") == {}


def test_the_command_prints_a_line_a_finding(tap_name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--device", f"tap:{tap_name}", "--listen", "127.0.0.1:0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("ok  ") for line in lines)
    assert any(f"TAP {tap_name}: may be made" in line for line in lines)


def test_a_control_socket_that_cannot_be_made(tap_name: str, tmp_path: Path) -> None:
    (tmp_path / "a.sock").write_text("")
    said = missing(device=f"tap:{tap_name}", control=str(tmp_path / "a.sock"))
    assert said == {f"--control {tmp_path}/a.sock": "something else is there: choose another path"}


def test_an_interface_that_is_no_tap() -> None:
    assert missing(device="tap:lo") == {"interface lo: a TAP": "it is none: choose another --device"}


def test_a_tap_in_use(tap_name: str) -> None:
    with service("--device", f"tap:{tap_name}"):
        found = missing(device=f"tap:{tap_name}")
    assert list(found) == [f"TAP {tap_name}: not in use"]


def test_a_tap_that_may_not_be_made(tap_name: str) -> None:
    code, [found] = unprivileged("--device", f"tap:{tap_name}")
    assert code == 3
    assert str(found["fix"]).startswith(f"run as root, or make it beforehand: ip tuntap add {tap_name} mode tap user ")


def test_a_tap_of_ones_own_that_is_set_up_is_enough(tap_name: str) -> None:
    ip("tuntap", "add", tap_name, "mode", "tap", "user", str(os.getuid()))
    code, [found] = unprivileged("--device", f"tap:{tap_name}", "--host-address", "192.0.2.1/24")
    assert code == 3
    assert found["fix"] == f"ip address add 192.0.2.1/24 dev {tap_name}; ip link set {tap_name} up"
    ip("address", "add", "192.0.2.1/24", "dev", tap_name)
    ip("link", "set", tap_name, "up")
    assert unprivileged("--device", f"tap:{tap_name}", "--host-address", "192.0.2.1/24") == (0, [])


def test_a_tap_of_somebody_else(tap_name: str) -> None:
    ip("tuntap", "add", tap_name, "mode", "tap", "user", "4321")
    ip("link", "set", tap_name, "up")
    code, [found] = unprivileged("--device", f"tap:{tap_name}")
    assert code == 3
    assert found["what"] == f"TAP {tap_name}: there, may be attached to"


def test_an_interface_for_a_packet_ring(tap_name: str) -> None:
    device = f"packet:{tap_name}"
    assert missing(device=device) == {f"interface {tap_name}": "there is none: see ip link"}
    assert missing(device="packet:lo") == {"interface lo: Ethernet": "choose another"}
    ip("link", "add", tap_name, "type", "veth", "peer", "name", f"{tap_name}b")
    ip("link", "set", f"{tap_name}b", "up")
    assert missing(device=device) == {
        f"interface {tap_name}: up": f"ip link set {tap_name} up",
        f"addresses of {tap_name}: none": f"ip address add ADDRESS/PREFIX dev {tap_name}, or --address",
    }
    ip("address", "add", "192.0.2.77/24", "dev", tap_name)
    ip("link", "set", tap_name, "up")
    assert missing(device=device) == {}
    assert lanes_of(device=device) == Finding("lanes: bulk")
    assert lanes_of(device=device, lane=("dns=udp:53",)) == Finding("lanes: dns, bulk")
    assert lanes_of(device=device, address="192.0.2.78/24") == Finding("lanes: control, bulk")
    code, [found, *_] = unprivileged("--device", device)
    assert (code, found["what"]) == (3, "CAP_NET_RAW: packet sockets")
    assert "--cap-add NET_RAW" in str(found["fix"])


def lanes_of(**flags: object) -> Finding:
    """What is said of the lanes."""
    (found,) = [
        one for one in check(load({"listen": "127.0.0.1:0", **flags}, {}, None)) if one.what.startswith("lanes")
    ]
    assert found.ok, "that there is one lane is nothing missing"
    return found


def test_the_lanes_that_there_will_be(tap_name: str) -> None:
    device = f"tap:{tap_name}"
    assert lanes_of(device=device) == Finding("lanes: control, bulk")
    assert lanes_of(device=device, lane=("a=arp", "b=nd")) == Finding("lanes: a, b, bulk")
    assert lanes_of(device=device, lane=("",)) == Finding("lanes: one", fix="no other is asked for")
    assert lanes_of(device="uio:ffff:00:1f.7") == Finding("lanes: one", fix="only a TAP and a packet ring have more")


def test_a_tap_of_one_queue_has_one_lane(tap_name: str) -> None:
    ip("tuntap", "add", tap_name, "mode", "tap")
    found = lanes_of(device=f"tap:{tap_name}")
    assert found.what == "lanes: one"
    assert f"ip tuntap add {tap_name} mode tap multi_queue" in found.fix
    ip("link", "del", tap_name)
    ip("tuntap", "add", tap_name, "mode", "tap", "multi_queue")
    assert lanes_of(device=f"tap:{tap_name}") == Finding("lanes: control, bulk")


def test_without_the_privilege_there_is_one_lane(tap_name: str) -> None:
    command = ["unshare", "--user", "--map-user=1000", sys.executable, "-m", "asyncnic", "check"]
    said = subprocess.run([*command, "--device", f"tap:{tap_name}"], capture_output=True, text=True, check=False).stdout
    (line,) = [line for line in said.splitlines() if "lanes:" in line]
    assert line.startswith("ok")
    assert "need CAP_BPF" in line


def test_a_busy_port(tap_name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        listen = f"127.0.0.1:{busy.getsockname()[1]}"
        found = missing(device=f"tap:{tap_name}", listen=listen)
    assert found == {f"--listen {listen}: free": "Address already in use: choose another --listen"}


def test_a_stack_and_a_web_config_that_are_not_there(tap_name: str, tmp_path: Path) -> None:
    found = missing(device=f"tap:{tap_name}", stack="no.such:thing", web_config=str(tmp_path / "no.yml"))
    assert found["--stack no.such:thing"].startswith("--stack no.such:thing: cannot import no.such")
    assert found[f"--web-config {tmp_path}/no.yml"].endswith("No such file or directory")


def test_a_pci_function_that_is_not_there() -> None:
    assert list(missing(device="uio:ffff:00:1f.7")) == ["PCI function ffff:00:1f.7"]


def test_a_pci_function_step_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncnic.devices.uio.PCI", tmp_path)
    monkeypatch.setattr("asyncnic.devices.uio.UIO_DRIVER", tmp_path / "uio_pci_generic")
    monkeypatch.setattr("asyncnic.devices.uio.FREE_HUGE_PAGES", tmp_path / "free")
    function = tmp_path / "0000:00:03.0"
    function.mkdir()
    unbound = "PCI function 0000:00:03.0: with a UIO driver"
    assert missing(device="uio:0000:00:03.0") == {unbound: "modprobe uio_pci_generic; asyncnic bind 0000:00:03.0"}
    (tmp_path / "uio_pci_generic").mkdir()
    assert missing(device="uio:0000:00:03.0") == {unbound: "asyncnic bind 0000:00:03.0"}
    (function / "uio" / "uio0").mkdir(parents=True)
    assert list(missing(device="uio:0000:00:03.0")) == [f"{function}/resource0: may be opened"]
    (function / "resource0").write_bytes(b"")
    assert missing(device="uio:0000:00:03.0") == {"a huge page for DMA: free": "sysctl vm.nr_hugepages=8"}
    (tmp_path / "free").write_text("0\n")
    assert missing(device="uio:0000:00:03.0") == {"a huge page for DMA: free": "sysctl vm.nr_hugepages=8"}
    (tmp_path / "free").write_text("4\n")
    assert missing(device="uio:0000:00:03.0") == {}
    monkeypatch.setattr("asyncnic.devices.uio.has_capability", lambda number: False)
    assert list(missing(device="uio:0000:00:03.0")) == ["physical addresses: visible"]


def test_a_node_that_is_not_there(tap_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncnic.devices.tap.check.TUN", tmp_path / "tun")
    assert missing(device=f"tap:{tap_name}") == {
        f"{tmp_path}/tun": "modprobe tun; in a container, --device /dev/net/tun"
    }


def test_a_program_that_is_not_there(tap_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert list(missing(device=f"qemu:{tap_name}")) == ["qemu-system-x86_64: installed"]


@pytest.mark.parametrize(
    ("codes", "code"),
    [((), 0), ((FAILED,), 1), ((FAILED, DEVICE), 4), ((DEVICE, PRIVILEGE), 3), ((PRIVILEGE, USAGE, DEVICE), 2)],
)
def test_the_exit_code_is_that_with_which_run_would_end_first(codes: tuple[int, ...], code: int) -> None:
    assert exit_code([Finding("there", code=DEVICE), *(Finding("x", False, "y", each) for each in codes)]) == code


def test_the_text_lines_up() -> None:
    text = as_text([Finding("short"), Finding("longer thing", False, "do this", DEVICE)])
    assert text == "ok       short\nmissing  longer thing  do this"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mtu = 1", "mtu in FILE: must be a whole number from 68 to 1500"),
        ("mtuu = 1", "mtuu in FILE: no such setting; did you mean mtu?"),
        ("mtu = ", "--config FILE: not TOML: Invalid value (at line 1, column 7)"),
        ('service = ["nobody:7"]', "service in FILE: service 'nobody:7': 'nobody' is none of "),
        ('service = ["udp-echo:7", "udp-discard:7"]', "service in FILE: port 7 can have one service only"),
        ('delivery = "queue"\nrx_budget = "auto"', "rx_budget in FILE: needs --delivery direct"),
    ],
)
def test_a_file_alone_is_refused_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    file = tmp_path / "asyncnic.toml"
    file.write_text(f"{text}\n")
    assert main(["check", "--config-only", str(file)]) == USAGE
    assert capsys.readouterr().err.replace(str(file), "FILE").startswith(f"asyncnic: {said}")


def test_a_file_alone_needs_nothing_of_this_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYNCNIC_MTU", "1")
    monkeypatch.setenv("ASYNCNIC_CONFIG", "/nowhere")
    file = tmp_path / "asyncnic.toml"
    file.write_text(
        'device = "uio:0000:99:00.0"\nlisten = "127.0.0.1:1"\nweb_config = "/nowhere"\n'
        'service = ["udp-echo:7", "not.installed:factory:9"]\n'
    )
    assert main(["check", "--config-only", str(file)]) == 0
    assert capsys.readouterr().out == f"ok       --config-only {file}\n"
    file.write_text('stack = "not.installed:coroutine"\n')
    assert main(["check", "--config-only", str(file)]) == 0


def test_a_file_alone_is_looked_at_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config-only", str(tmp_path / "none"), "--mtu", "1400"]) == USAGE
    assert "takes no other flag" in capsys.readouterr().err
    assert main(["check", "--config-only", str(tmp_path / "none")]) == USAGE
