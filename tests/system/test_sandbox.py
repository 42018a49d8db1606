"""The sandbox as the kernel sees it: what is in force in /proc, what is refused to code inside, what still works."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.system.privileges import NO_CAPABILITIES
from tests.system.service import HOST, Run, Service, asyncnic, program, wait_until
from tests.system.test_http import make_certificate
from tests.wire import keep_quiet

NET_ADMIN_AND_BPF = 1 << 12 | 1 << 39


def threads(pid: int) -> list[dict[str, str]]:
    """What the kernel says of every thread of a process."""
    texts = [status.read_text() for status in Path(f"/proc/{pid}/task").glob("*/status")]
    return [dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line) for text in texts]


def workers_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize(
    ("flags", "left"),
    [
        ((), NET_ADMIN_AND_BPF),
        (("--delivery", "queue"), NET_ADMIN_AND_BPF),
        (("--stack", "kernel", "--kernel-if", "sbx1"), NET_ADMIN_AND_BPF),
        (("--workers", "2"), NET_ADMIN_AND_BPF),
        (("--sandbox", "on"), 0),
        (("--sandbox", "on", "--workers", "2"), 0),
    ],
)
def test_every_thread_has_what_is_left_and_no_more(run: Run, loop: str, flags: tuple[str, ...], left: int) -> None:
    with run("--loop", loop, *flags) as service:
        for status in threads(service.process.pid):
            assert int(status["CapPrm"], 16) == int(status["CapEff"], 16) == left
            assert status["NoNewPrivs"] == "1"
            assert status["Seccomp"] == "2"
        for worker in workers_of(service.process.pid):
            for status in threads(worker):
                assert int(status["CapPrm"], 16) == 0
                assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        shown = service.stats()["sandbox"]
        assert shown["capabilities"] == ("net_admin,bpf" if left else "none")
        assert (shown["no_new_privs"], shown["seccomp"]) == (True, True)
        assert shown["landlock"] >= 1
        assert f'landlock="{shown["landlock"]}",no_new_privs="true",seccomp="true"' in service.ask("/metrics")[1]
        assert "sandboxed capabilities=" in service.log


def test_off_leaves_everything_as_it_is(run: Run) -> None:
    with run("--sandbox", "off") as service:
        ours = threads(os.getpid())[0]["CapPrm"]
        for status in threads(service.process.pid):
            assert (status["NoNewPrivs"], status["Seccomp"], status["CapPrm"]) == ("0", "0", ours)
        assert service.stats()["sandbox"]["seccomp"] is False


HARMLESS = (
    *("read a file of the user's", "read the shadow file", "write a file", "start a program", "fork"),
    *("listen and connect by TCP", "sniff", "look into another process", "signal another process"),
)
"""What may be tried without a sandbox too, and works there for who is root: so it is the sandbox that refuses it."""
INTRUDER = """
import asyncio, ctypes, json, os, socket, subprocess, sys
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)

def call(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")

def spawn():
    subprocess.run(["/bin/true"], check=True)

def fork():
    if not os.fork():
        os._exit(0)
    os.wait()

def connect():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()

FOLDER, HARMLESS = Path("@FOLDER@"), @HARMLESS@
ATTEMPTS = {
    "read a file of the user's": lambda: (FOLDER / "secret").read_text(),
    "read the shadow file": lambda: Path("/etc/shadow").read_text(),
    "write a file": lambda: (FOLDER / "loot").write_text("x"),
    "start a program": spawn,
    "fork": fork,
    "listen and connect by TCP": connect,
    "sniff": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3).close(),
    "look into another process": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
    "signal another process": lambda: os.kill(os.getppid(), 0),
    "trace": lambda: call(libc.ptrace(0, 0, 0, 0)),
    "make a namespace": lambda: call(libc.unshare(0x04000000)),
    "mount": lambda: call(libc.mount(b"none", bytes(FOLDER), b"tmpfs", 0, None)),
    "become somebody else": lambda: os.setresuid(1, 1, 1),
    "load a program into the kernel": lambda: call(libc.syscall(BPF, 0, ctypes.create_string_buffer(120), 120)),
    "make an io_uring": lambda: call(libc.syscall(425, 8, ctypes.create_string_buffer(120))),
}
BPF = 321 if os.uname().machine == "x86_64" else 280

async def stack(nic):
    said = {}
    for name, attempt in ATTEMPTS.items():
        if HARMLESS and name not in HARMLESS:
            continue
        try:
            attempt()
            said[name] = "done"
        except OSError as error:
            said[name] = "refused"
    print("INTRUDER", json.dumps(said), file=sys.stderr, flush=True)
    async for burst in nic:
        pass
"""


def attempts(service: Service) -> dict[str, str]:
    line = wait_until(
        lambda: next((line for line in service.log.splitlines() if line.startswith("INTRUDER")), ""), "it has tried"
    )
    found: dict[str, str] = json.loads(line.removeprefix("INTRUDER "))
    return found


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_what_is_forbidden_is_refused_to_code_inside(run: Run, tmp_path: Path, loop: str) -> None:
    code, loot = tmp_path / "code", tmp_path / "user"
    code.mkdir()
    loot.mkdir()
    (loot / "secret").write_text("secret")
    intruder = INTRUDER.replace("@FOLDER@", str(loot))
    (code / "intruder.py").write_text(intruder.replace("@HARMLESS@", "()"))
    flags = ("--loop", loop, "--stack", "intruder:stack")
    with run(*flags, "--sandbox", "on", cwd=code) as service:
        said = attempts(service)
        assert set(said.values()) == {"refused"}, said
    assert sorted(os.listdir(loot)) == ["secret"]
    (code / "intruder.py").write_text(intruder.replace("@HARMLESS@", repr(HARMLESS)))
    with run(*flags, "--sandbox", "off", cwd=code) as service:
        assert attempts(service) == dict.fromkeys(HARMLESS, "done")


def test_a_stack_of_ones_own_is_left_alone_unless_it_is_asked_for(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import asyncio\nclass Service(asyncio.DatagramProtocol): pass\n")
    with run("--service", "mine:Service:9000", cwd=tmp_path) as service:
        for status in threads(service.process.pid):
            assert (status["NoNewPrivs"], status["Seccomp"]) == ("0", "0")
        assert 'no sandbox reason="mine:Service:9000 is not ours, and may need anything"' in service.log
        assert service.stats()["sandbox"]["landlock"] == 0


WITHOUT = (
    "import os, sys; from asyncnic.linux.seccomp import deny; deny(['landlock_create_ruleset']);"
    " os.execv(sys.argv[1], sys.argv[1:])"
)


def test_where_the_kernel_has_no_landlock_it_is_told_and_insisting_is_refused(run: Run, tap_name: str) -> None:
    without = (sys.executable, "-c", WITHOUT)
    with run(prefix=without) as service:
        assert "the sandbox is not whole" in service.log
        assert service.stats()["sandbox"] | {"landlock": 0, "seccomp": True} == service.stats()["sandbox"]
    checked = asyncnic("check", "--device", f"tap:{tap_name}", "--listen", "127.0.0.1:0", prefix=without)
    assert "ok       --sandbox auto" in " ".join(checked.stdout.split(" ")) or "--sandbox auto" in checked.stdout
    assert "no Landlock" in checked.stdout
    for command in ("run", "check"):
        refused = asyncnic(command, "--device", f"tap:{tap_name}", "--sandbox", "on", prefix=without)
        assert refused.returncode == 2, refused.stdout
        assert "no Landlock" in refused.stderr + refused.stdout


def test_what_a_reload_and_the_end_need_is_left(run: Run, tmp_path: Path) -> None:
    """Files that are replaced by new ones beside them, as editors and renewers of certificates do."""
    make_certificate(tmp_path)
    web, config = tmp_path / "web.yml", tmp_path / "asyncnic.toml"
    web.write_text("tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n")
    config.write_text("rx_budget = 32\n")
    flags = ("--config", str(config), "--web-config", str(web), "--sandbox", "on")
    with run(*flags) as service:
        service.authenticate("me", "", tmp_path / "cert.pem")
        for number, budget in enumerate((16, 8)):
            make_certificate(tmp_path)
            (tmp_path / "new.toml").write_text(f"rx_budget = {budget}\n")
            (tmp_path / "new.toml").rename(config)
            service.process.send_signal(signal.SIGHUP)
            wait_until(lambda n=number: service.log.count("reloaded changed=rx_budget") == n + 1, "reloaded")  # type: ignore[misc]
        service.authenticate("me", "", tmp_path / "cert.pem")
        assert service.ask("/-/ready")[0] == 200
        assert Path(service.control).exists()
    assert not Path(service.control).exists()


def test_snapshots_are_written_where_they_belong(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "snapshots"
    with run("--sandbox", "on", "--snapshot-dir", str(folder)) as service:
        service.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: list(folder.glob("[!.]*")), "it is written")
    (snapshot,) = folder.iterdir()
    assert any(snapshot.iterdir())


@pytest.mark.parametrize("flags", [(), ("--workers", "2"), ("--sandbox", "on")])
def test_a_device_that_is_deleted_comes_back(run: Run, tap_name: str, flags: tuple[str, ...]) -> None:
    """`auto` leaves what sets a TAP up; `on` leaves nothing, and wants one that is set up."""
    with run(*flags) as service:
        program("ping", "-n", "-c", "1", "-W", "5", HOST)
        program("ip", "link", "del", tap_name)
        wait_until(lambda: service.ask("/-/ready")[0] == 503, "it is lost")
        service.tap_is_gone()
        program("ip", "tuntap", "add", tap_name, "mode", "tap", "multi_queue")
        keep_quiet(tap_name)
        if "on" in flags:
            program("ip", "addr", "add", "192.0.2.1/24", "dev", tap_name)
            program("ip", "link", "set", tap_name, "up", "txqueuelen", "1000")
        wait_until(lambda: service.ask("/-/ready")[0] == 200, "it is back")
        ping = ("ping", "-n", "-q", "-c", "1", "-W", "1", HOST)
        wait_until(lambda: " 0% packet loss" in program(*ping, codes=(0, 1, 2)), "it answers again")


def test_a_worker_that_is_killed_is_replaced_from_inside(run: Run) -> None:
    with run("--workers", "2") as service:
        first = workers_of(service.process.pid)
        os.kill(first[0], signal.SIGKILL)
        wait_until(lambda: service.stats()["workers"]["restarts"] == 1 and service.ask("/-/ready")[0] == 200, "restart")
        (new,) = set(workers_of(service.process.pid)) - set(first)
        assert threads(new)[0]["Seccomp"] == "2"


def test_who_has_no_capability_needs_none(run: Run, tap_name: str) -> None:
    program("ip", "tuntap", "add", tap_name, "mode", "tap", "user", "root")
    program("ip", "addr", "add", "192.0.2.1/24", "dev", tap_name)
    program("ip", "link", "set", tap_name, "up", "txqueuelen", "1000")
    with run("--host-address", "", "--sandbox", "on", prefix=NO_CAPABILITIES) as service:
        program("ping", "-n", "-c", "1", "-W", "5", HOST)
        assert service.stats()["sandbox"]["capabilities"] == "none"
