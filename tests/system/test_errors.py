"""What goes wrong before the service runs: one line that says what and how to mend it, and the contract's exit code."""

import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.system.privileges import NO_CAPABILITIES, with_tun
from tests.system.service import HOST, Run, asyncnic, program

FAILED, USAGE, PRIVILEGE, DEVICE = 1, 2, 3, 4


def assert_one_line(result: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """It ended with `code` and said nothing but one line, in which all of `words` are."""
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    assert result.stderr.startswith("asyncnic: ")
    assert result.stderr.endswith("\n")
    assert result.stderr.count("\n") == 1, result.stderr
    assert "unexpected" not in result.stderr
    for word in words:
        assert word in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nosuch"], ["nosuch"]),
        (["run", "--bogus"], ["--bogus"]),
        (["run", "--rx-ring"], ["--rx-ring"]),
        (["run", "--rx-ring", "3"], ["--rx-ring 3", "power of two"]),
        (["run", "--rx-time-budget", "2"], ["--rx-time-budget 2", "2ms"]),
        (["run", "--address", "192.0.2.300/24"], ["--address 192.0.2.300/24"]),
        (["run", "--device", "tape:x"], ["--device tape:x", "tap:NAME"]),
        (["run", "--device", "tap:a-name-that-is-too-long"], ["--device tap:a-name-that-is-too-long"]),
        (["run", "--overload", "weep"], ["--overload weep", "leave or drain"]),
        (["run", "--listen", "9732"], ["--listen 9732", "HOST:PORT"]),
        (["run", "--mac", "ff:ff:ff:ff:ff:ff"], ["--mac ff:ff:ff:ff:ff:ff", "unicast"]),
        (["run", "--stack", "bogus"], ["--stack bogus"]),
        (["run", "--stack", "nosuch.module:stack"], ["--stack nosuch.module:stack", "No module named 'nosuch'"]),
        (["run", "--stack", "json:dumps"], ["--stack json:dumps", "no coroutine function"]),
        (["run", "--service", "nosuch:7"], ["--service nosuch:7", "udp-echo"]),
        (["run", "--service", "udp-echo:0"], ["--service udp-echo:0"]),
        (["run", "--service", "udp-echo:7", "--service", "udp-discard:7"], ["--service", "port 7"]),
        (["run", "--service", "json:nosuch:7"], ["--service json:nosuch:7", "'json'"]),
        (["run", "--stack", "sink", "--service", "udp-echo:7"], ["--service udp-echo:7", "--stack inet"]),
        (["run", "--config", "nosuch.toml"], ["--config nosuch.toml", "No such file"]),
        (["run", "--web-config", "nosuch.yml"], ["--web-config nosuch.yml", "No such file"]),
        (["demo", "--packets", "0"], ["--packets"]),
        (["demo", "--seconds", "0"], ["--seconds"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_is_typed_wrong(arguments: list[str], words: Sequence[str], tmp_path: Path) -> None:
    assert_one_line(asyncnic(*arguments, cwd=tmp_path), USAGE, *words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rx_rnig = 256", ["rx_rnig", "did you mean rx_ring?"]),
        ("rx_ring = 100", ["rx_ring in", "power of two"]),
        ('rx_time_budget = "2 bananas"', ["rx_time_budget in", "2ms"]),
        ("rx_ring = ", ["not TOML"]),
        ("[rx]\nring = 256", ["rx in", "no such setting"]),
    ],
)
def test_a_bad_file(text: str, words: Sequence[str], tmp_path: Path) -> None:
    config = tmp_path / "asyncnic.toml"
    config.write_text(text)
    assert_one_line(asyncnic("run", "--config", str(config)), USAGE, str(config), *words)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ASYNCNIC_RX_RNIG", "256", ["did you mean ASYNCNIC_RX_RING?"]),
        ("ASYNCNIC_RX_RING", "100", ["ASYNCNIC_RX_RING=100", "power of two"]),
        ("ASYNCNIC_CONFIG", "nosuch.toml", ["nosuch.toml"]),
    ],
)
def test_a_bad_variable(name: str, value: str, words: Sequence[str]) -> None:
    assert_one_line(asyncnic("run", env={name: value}), USAGE, *words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nosuch_key: 1", ["nosuch_key", "no such key"]),
        ("basic_auth_users: {me: secret}", ["basic_auth_users.me", "bcrypt"]),
        ("tls_server_config: {cert_file: a.pem, key_file: b.pem}", ["a.pem and b.pem", "No such file"]),
        ("a: [", ["not YAML"]),
    ],
)
def test_a_bad_web_config(text: str, words: Sequence[str], tmp_path: Path, tap_name: str) -> None:
    config = tmp_path / "web.yml"
    config.write_text(text)
    result = asyncnic("run", "--device", f"tap:{tap_name}", "--web-config", str(config))
    assert_one_line(result, USAGE, f"--web-config {config}", *words)


def test_a_busy_port(tap_name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as owner:
        listen = f"127.0.0.1:{owner.getsockname()[1]}"
        result = asyncnic("run", "--device", f"tap:{tap_name}", "--listen", listen)
    assert_one_line(result, FAILED, f"--listen {listen}", "in use")


def test_an_interface_that_is_no_tap(tap_name: str) -> None:
    program("ip", "tuntap", "add", tap_name, "mode", "tun")
    for name in (tap_name, "lo"):
        assert_one_line(asyncnic("run", "--device", f"tap:{name}"), DEVICE, f"tap:{name}", "is no TAP")


def test_a_tap_that_is_in_use(run: Run) -> None:
    with run() as service:
        result = asyncnic("run", "--device", f"tap:{service.tap}", "--listen", "127.0.0.1:0")
        assert_one_line(result, DEVICE, f"tap:{service.tap}", "another process")


def test_a_pci_function_that_is_not_there() -> None:
    assert_one_line(asyncnic("run", "--device", "uio:ffff:ff:1f.7"), DEVICE, "ffff:ff:1f.7")


def test_no_tun_driver(tap_name: str) -> None:
    result = asyncnic("run", "--device", f"tap:{tap_name}", prefix=with_tun(None))
    assert_one_line(result, DEVICE, "/dev/net/tun: absent", "modprobe tun")


def test_a_closed_tun_driver(tap_name: str) -> None:
    prefix = [*with_tun("000"), *NO_CAPABILITIES]
    result = asyncnic("run", "--device", f"tap:{tap_name}", prefix=prefix)
    assert_one_line(result, PRIVILEGE, "/dev/net/tun: Permission denied", "chmod 0666 /dev/net/tun")


def test_no_capability_to_make_a_tap(tap_name: str) -> None:
    result = asyncnic("run", "--device", f"tap:{tap_name}", prefix=NO_CAPABILITIES)
    assert_one_line(result, PRIVILEGE, f"tap:{tap_name}", f"ip tuntap add {tap_name} mode tap user")


def test_a_tap_of_somebody_else(tap_name: str) -> None:
    program("ip", "tuntap", "add", tap_name, "mode", "tap", "user", "nobody")
    result = asyncnic("run", "--device", f"tap:{tap_name}", prefix=NO_CAPABILITIES)
    assert_one_line(result, PRIVILEGE, f"tap:{tap_name}", "belongs to another user")


def test_a_tap_that_is_not_set_up(tap_name: str) -> None:
    program("ip", "tuntap", "add", tap_name, "mode", "tap", "user", "root")
    result = asyncnic("run", "--device", f"tap:{tap_name}", prefix=NO_CAPABILITIES)
    assert_one_line(result, PRIVILEGE, f"ip link set {tap_name} up")


def test_a_port_of_the_system(tap_name: str) -> None:
    program("ip", "tuntap", "add", tap_name, "mode", "tap", "user", "root")
    program("ip", "link", "set", tap_name, "up")
    program("sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=1024")
    flags = ("--device", f"tap:{tap_name}", "--listen", "127.0.0.1:80")
    assert_one_line(asyncnic("run", *flags, prefix=NO_CAPABILITIES), PRIVILEGE, "--listen 127.0.0.1:80")


def test_a_tap_of_ones_own_needs_no_capability(run: Run, tap_name: str) -> None:
    program("ip", "tuntap", "add", tap_name, "mode", "tap", "user", "root")
    program("ip", "addr", "add", "192.0.2.1/24", "dev", tap_name)
    program("ip", "link", "set", tap_name, "up")
    with run(prefix=NO_CAPABILITIES):
        program("ping", "-n", "-c", "1", "-W", "5", HOST)


@pytest.mark.parametrize("command", [["stats"], ["ring"], ["regs"], ["sockets"], ["capture", "-"]], ids=" ".join)
def test_nothing_to_ask(command: list[str]) -> None:
    result = asyncnic(*command, "--url", "http://127.0.0.1:1")
    assert_one_line(result, FAILED, "--url http://127.0.0.1:1", "nothing listens there")


def test_a_capture_that_cannot_be_written(run: Run) -> None:
    with run() as service:
        result = asyncnic("capture", "--url", service.url, "--count", "1", "/nosuch/file.pcapng")
        assert_one_line(result, FAILED, "/nosuch/file.pcapng", "No such file")
