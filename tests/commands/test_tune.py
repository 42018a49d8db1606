"""`asyncnic tune` against a server in this loop, by its control socket and by its URL."""

import asyncio
from pathlib import Path

import pytest

from asyncnic.cli import main
from asyncnic.client.client import Refused, ServiceAddress
from asyncnic.errors import Failed, PrivilegeError, SettingsError
from tests.web.fakes import FakeNic, Reloads, observe, serving


async def tune(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and errors of `asyncnic tune`."""
    code = await asyncio.to_thread(main, ["tune", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


async def test_without_arguments_it_shows_the_knobs_as_they_stand(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    nic, path = FakeNic(), tmp_path / "a.sock"
    nic.knobs.rx_budget, nic.knobs.rx_budget_auto, nic.knobs.busy_poll = 213, True, 5e-5
    async with serving(observe(nic, control=str(path))):
        code, out, _ = await tune(capsys, "--control", str(path))
        _, json_out, _ = await tune(capsys, "--control", str(path), "--json")
    assert code == 0
    shown = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert (shown["rx_budget"], shown["busy_poll"], shown["overload"]) == ("auto", "50us", "leave")
    assert shown["shed"] == "(none)"
    assert "rx_ring" not in shown
    assert '"rx_budget": "auto"' in json_out


async def test_changes_are_put_as_they_were_typed_and_what_changed_is_shown(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    service, path = Reloads(), tmp_path / "a.sock"
    async with serving(observe(FakeNic(), control=str(path)), reloads=service):
        code, out, _ = await tune(capsys, "--control", str(path), "rx_budget=32", " overload = drain", "lane=a=udp:53")
    assert code == 0
    assert service.tuned == [{"rx_budget": "32", "overload": "drain", "lane": "a=udp:53"}]
    assert out.splitlines() == ["rx_budget  64 -> 32", "overload   64 -> drain", "lane       64 -> a=udp:53"]


async def test_nothing_to_change_is_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(changes: object) -> dict[str, object]:
        return {}

    service, path = Reloads(), tmp_path / "a.sock"
    monkeypatch.setattr(service, "tune", nothing)
    async with serving(observe(FakeNic(), control=str(path)), reloads=service):
        assert (await tune(capsys, "--control", str(path), "rx_budget=64"))[1].startswith("nothing changed")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (SettingsError("rx_budgt: no such knob; did you mean rx_budget?"), 2, "asyncnic: rx_budgt: no such knob; did"),
        (PrivilegeError("tap:golden0: needs CAP_NET_ADMIN"), 1, "asyncnic: --control {path}: tap:golden0: needs CAP"),
    ],
)
async def test_a_refusal_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, error: Exception, code: int, line: str
) -> None:
    service, path = Reloads(), tmp_path / "a.sock"
    service.error = error
    async with serving(observe(FakeNic(), control=str(path)), reloads=service):
        found, out, err = await tune(capsys, "--control", str(path), "rx_budgt=1")
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert err.startswith(line.format(path=path))


async def test_over_tcp_it_needs_the_lifecycle(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(observe(FakeNic(), control="")) as url:
        code, _, err = await tune(capsys, "--url", url, "rx_budget=1")
        assert (code, "--enable-lifecycle" in err) == (1, True)
    async with serving(observe(FakeNic(), control="", enable_lifecycle=True)) as url:
        assert (await tune(capsys, "--url", url, "rx_budget=1"))[:2] == (0, "rx_budget  64 -> 1\n")


async def test_the_one_socket_that_is_there_is_taken(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncnic.service.control.SYSTEM", tmp_path / "none")
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    async with serving(observe(FakeNic(), device="tap:one")) as url:
        assert (await tune(capsys, "rx_budget=1"))[0] == 0
        assert (await tune(capsys, "--url", url, "rx_budget=1"))[0] == 1  # what was typed comes first
        async with serving(observe(FakeNic(), device="tap:two")):
            code, _, err = await tune(capsys)
            assert code == 1
            assert err == (
                f"asyncnic: several services run here: name one: --control {tmp_path}/one.sock or {tmp_path}/two.sock\n"
            )
            assert (await tune(capsys, "--control", f"{tmp_path}/two.sock"))[0] == 0
    monkeypatch.setenv("ASYNCNIC_URL", "http://127.0.0.1:1")
    assert "--url http://127.0.0.1:1: nothing listens" in (await tune(capsys))[2]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["rx_budget"], "asyncnic: rx_budget: must be KNOB=VALUE, like rx_budget=32"),
        (["=3"], "asyncnic: =3: must be KNOB=VALUE, like rx_budget=32"),
        (["rx_budget=1", "rx_budget=2"], "asyncnic: rx_budget=2: rx_budget was given before"),
    ],
)
def test_what_is_no_change_is_refused_before_anybody_is_asked(
    capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    assert main(["tune", "--control", "/nowhere", *arguments]) == 2
    assert capsys.readouterr().err == line + "\n"


def test_nobody_at_the_control_socket_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=f"^--control {tmp_path}/a.sock: nothing listens there: start `asyncnic run`"):
        ServiceAddress("http://control", control=tmp_path / "a.sock").get_json("/api/v1/settings")


async def test_a_refusal_can_be_told_from_a_failure(tmp_path: Path) -> None:
    service, path = Reloads(), tmp_path / "a.sock"
    service.error = SettingsError("no")
    async with serving(observe(FakeNic(), control=str(path)), reloads=service):
        with pytest.raises(Refused, match=r"^no$"):
            await asyncio.to_thread(
                ServiceAddress("http://control", control=path).put_json, "/api/v1/settings", {"rx_budget": 1}
            )
