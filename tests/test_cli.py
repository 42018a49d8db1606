"""Command lines: exit codes, one line of error, nothing imported that is not needed."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from asyncnic import cli
from asyncnic.cli import COMMANDS, explain, main
from asyncnic.errors import DeviceError, DeviceLost, Failed, PrivilegeError, SettingsError
from asyncnic.settings.model import Settings, flag, variable


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and the single line on stderr."""
    code = main(arguments)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("asyncnic: ")
    assert err.count("\n") == 1
    return code, err.removeprefix("asyncnic: ").rstrip()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "--rx-ring", "300"), "--rx-ring 300: must be a power of two from 1 to 512"),
        (("run", "--rx-rin", "300"), "No such option '--rx-rin'."),
        (("run", "--config", "/nowhere.toml"), "--config /nowhere.toml: No such file or directory"),
        (("run", "--web-config", "/nowhere.yml"), "--web-config /nowhere.yml: No such file or directory"),
        (("run", "--stack", "no.such:thing"), "--stack no.such:thing: cannot import no.such: ModuleNotFoundError"),
        (("run", "--stack", "json:loads"), "--stack json:loads: json has no coroutine function loads"),
        (("run", "--service", "no-such:7"), "--service no-such:7: "),
        (("check", "--mtu", "1"), "--mtu 1: must be a whole number from 68 to 1500"),
        (("capture", "--count", "0", "x"), "Invalid value for '--count'"),
        (("capture",), "Missing argument 'FILE'."),
        (("frobnicate",), "No such command 'frobnicate'."),
        (("demo", "--seconds", "0"), "Invalid value for '--seconds'"),
    ],
)
def test_usage_and_configuration_are_2(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    code, line = refused(capsys, *arguments)
    assert code == 2
    assert line.startswith(message)


@pytest.mark.parametrize(
    ("command", "path"), [("stats", ()), ("ring", ()), ("regs", ()), ("sockets", ()), ("capture", ("/dev/null",))]
)
def test_nobody_listening_is_1(capsys: pytest.CaptureFixture[str], command: str, path: tuple[str, ...]) -> None:
    code, line = refused(capsys, command, "--url", "http://me:secret@127.0.0.1:1", *path)
    assert code == 1
    assert line == "--url http://127.0.0.1:1: nothing listens there: start `asyncnic run`, or name another --url"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Failed("x"), 1),
        (SettingsError("x"), 2),
        (click.UsageError("x"), 2),
        (PrivilegeError("x"), 3),
        (DeviceError("x"), 4),
        (DeviceLost("x"), 4),
        (KeyboardInterrupt(), 1),
        (ZeroDivisionError("a\nb"), 1),
    ],
)
def test_each_error_has_its_code_and_one_line(error: BaseException, code: int) -> None:
    line, found = explain(error)
    assert found == code
    assert "\n" not in line


def test_an_unexpected_error_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("asyncnic.service.preflight.check", broken)
    assert refused(capsys, "check") == (1, "unexpected RuntimeError: two lines")


def test_no_arguments_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Commands:" in capsys.readouterr().err
    assert main(["--help"]) == 0
    assert "Commands:" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("asyncnic 0.")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: asyncnic {name} ")


def test_run_has_every_setting_as_a_flag_with_its_variable(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--help"]) == 0
    text = capsys.readouterr().out
    for name in Settings.model_fields:
        assert f"  {flag(name)} " in text
        assert variable(name) in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    assert main(["completion", shell]) == 0
    assert "_ASYNCNIC_COMPLETE" in capsys.readouterr().out


def test_words_of_a_setting_are_completed() -> None:
    command = cli.asyncnic.get_command(click.Context(cli.asyncnic), "run")
    assert command is not None
    option = next(param for param in command.params if param.name == "queue_policy")
    found = option.type.shell_complete(click.Context(command), option, "drop")
    assert [item.value for item in found] == ["drop-newest", "drop-oldest"]


def test_help_is_quick_since_it_imports_no_command() -> None:
    program = (
        "import sys; from asyncnic.cli import main; main(['--help']); "
        "print([m for m in ('pydantic', 'aiohttp', 'prometheus_client', 'rich') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"


def test_a_reader_that_left_is_no_traceback(tmp_path: Path) -> None:
    script = f"{sys.executable} -m asyncnic run --help | head -c 1"
    shown = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert (shown.stdout, shown.stderr) == ("U", "")
