"""Makes the manuals that are never written by hand: man pages, and the reference of settings, metrics and log events.

    manuals.py            write deploy/docs/pages/reference/* anew
    manuals.py --check    say what differs from what is committed, exit code 1 if anything does
    manuals.py --man DIR  write the man pages, one for each command

Man pages come from the command line itself, settings from their model, metrics from the scrape that a test holds the
collector to, log events from the calls that write them. What a thing is good for is told in the other pages, not here.
"""

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from pydantic.fields import FieldInfo

from asyncnic.cli import asyncnic as program
from asyncnic.settings.model import LIVE, Settings, choices, flag, is_list, variable
from asyncnic.settings.schema import json_schema
from asyncnic.settings.values import show_duration
from asyncnic.version import build_info

ROOT = Path(__file__).parents[2]
REFERENCE = Path(__file__).parent / "pages" / "reference"
CODES = "0 done, 1 failed while running, 2 usage or configuration, 3 privilege missing, 4 device absent or lost."
LEVELS = ("debug", "info", "warning", "error", "exception")


def settings() -> str:
    """The reference of the settings, in Markdown."""
    lines = [
        "# Settings",
        "",
        "Each is a flag of `asyncnic run`, a variable and a key of the TOML file given by `--config`; the flag wins,",
        "then the variable, then the file. A live one is changed while frames flow, by `asyncnic tune` or a reload.",
        "`asyncnic run --print-config` shows what is in force and who said so; `asyncnic check --config-only FILE`",
        "says what is wrong with a file, on any machine; for editors there is its JSON Schema,",
        "[asyncnic.schema.json](asyncnic.schema.json).",
    ]
    for name, field in Settings.model_fields.items():
        shape = " \\| ".join(choices(field)) or field.title or "switch"
        more = ", repeatable" if is_list(name) else ""
        lines += [
            "",
            f"## `{name}`",
            "",
            f"{_sentence(field.description or '')}",
            "",
            "| flag | variable | value | default | live |",
            "|---|---|---|---|---|",
            f"| `{flag(name)}` | `{variable(name)}` | {shape}{more} | {_default(field)} | {_yes(name in LIVE)} |",
        ]
    return "\n".join(lines) + "\n"


def metrics() -> str:
    """The dictionary of the metrics, in Markdown."""
    lines = ["# Metrics", "", "All at `/metrics`. No value of a label comes off the wire.", ""]
    lines += ["| metric | type | labels | what it says |", "|---|---|---|---|"]
    kinds: dict[str, str] = {}
    words: dict[str, str] = {}
    labels: dict[str, dict[str, None]] = {}
    for line in (ROOT / "tests/web/golden.prom").read_text().splitlines():
        if line.startswith("# HELP "):
            _, _, name, text = line.split(" ", 3)
            words[name] = text
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ", 3)
            kinds[name] = kind
        else:
            sample, _, rest = line.partition("{")
            family = sample if sample in kinds else sample.rsplit("_", 1)[0]
            found = labels.setdefault(family, {})
            found.update((part.partition("=")[0], None) for part in rest.rpartition("}")[0].split('",') if "=" in part)
    for name, kind in kinds.items():
        shown = ", ".join(label for label in labels.get(name, {}) if label != "le")
        lines.append(f"| `{name}` | {kind} | {shown} | {words[name].replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


def events() -> str:
    """The dictionary of the log's events, in Markdown."""
    lines = [
        "# Log events",
        "",
        "One event a line on stderr; with `--log-format json` an object with `event`, `level`, `logger` and the fields",
        "here. The words may change with any release: see what is stable. `{}` stands for a value in the event's text.",
        "",
        "| event | level | fields | from |",
        "|---|---|---|---|",
    ]
    for path in sorted((ROOT / "asyncnic").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        lines += [f"| {event} | {level} | {fields} | `{module}` |" for event, level, fields in _logged(path)]
    return "\n".join(lines) + "\n"


def _logged(path: Path) -> Iterator[tuple[str, str, str]]:
    """Event, level and names of the fields of each call of a logger called `log`, in the file's order."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda node: node.lineno):
        function = call.func
        if not isinstance(function, ast.Attribute) or function.attr not in LEVELS or not call.args:
            continue
        if not isinstance(function.value, ast.Name) or function.value.id != "log":
            continue
        text = call.args[0]
        if isinstance(text, ast.Constant):
            event = str(text.value).replace("%s", "{}").replace("%d", "{}")
        elif isinstance(text, ast.JoinedStr):
            event = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in text.values)
        else:
            continue
        extra = [keyword.value for keyword in call.keywords if keyword.arg == "extra"]
        names = [word.arg for value in extra if isinstance(value, ast.Call) for word in value.keywords if word.arg]
        yield event, function.attr, ", ".join(names)


def man_pages() -> Iterator[tuple[str, str]]:
    """Each man page as (name, roff): the program's and each command's."""
    root = click.Context(program, info_name="asyncnic")
    yield "asyncnic", _man(program, root)
    for name in program.list_commands(root):
        command = program.get_command(root, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=root)
        yield f"asyncnic-{name}", _man(command, context)
        if isinstance(command, click.Group):
            for inner, found in sorted(command.commands.items()):
                yield f"asyncnic-{name}-{inner}", _man(found, click.Context(found, info_name=inner, parent=context))


def _man(command: click.Command, context: click.Context) -> str:
    """One command's page."""
    title = context.command_path.replace(" ", "-")
    lines = [
        f'.TH "{_roff(title.upper())}" 1 "" "asyncnic {build_info()["version"]}" "asyncnic"',
        ".SH NAME",
        f"{_roff(title)} \\- {_roff(command.get_short_help_str(100).rstrip('.'))}",
        ".SH SYNOPSIS",
        f".B {_roff(context.command_path)}",
        _roff(" ".join(command.collect_usage_pieces(context))),
        ".SH DESCRIPTION",
        _roff(" ".join((command.help or "").split())),
    ]
    options = [record for param in command.get_params(context) if (record := param.get_help_record(context))]
    if options:
        lines.append(".SH OPTIONS")
        for names, text in options:
            lines += [".TP", f".B {_roff(names)}", _roff(" ".join(text.split()))]
    if isinstance(command, click.Group):
        lines.append(".SH COMMANDS")
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            lines += [".TP", f".B {_roff(name)}", _roff(found.get_short_help_str(100))]
    if context.parent is None or title == "asyncnic-run":
        lines += [".SH EXIT STATUS", CODES]
    return "\n".join(lines) + "\n"


def _roff(text: str) -> str:
    """`text` as roff takes it: backslashes and hyphens as themselves, no control line by accident."""
    safe = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{safe}" if safe.startswith((".", "'")) else safe


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _default(field: FieldInfo) -> str:
    default = field.default
    if isinstance(default, bool):
        return "off"
    if isinstance(default, float):
        return f"`{show_duration(default)}`"
    if isinstance(default, tuple):
        return ", ".join(f"`{item}`" for item in default) or "none"
    return f"`{default}`" if default not in ("", None) else "empty"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def schema() -> str:
    """The JSON Schema of the settings' file."""
    return json.dumps(json_schema(), indent=2) + "\n"


PAGES = {"settings.md": settings, "metrics.md": metrics, "events.md": events, "asyncnic.schema.json": schema}


def main(arguments: list[str]) -> int:
    """See the module's text; the exit code."""
    if arguments[:1] == ["--man"]:
        folder = Path(arguments[1])
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in man_pages():
            folder.joinpath(f"{name}.1").write_text(text)
        return 0
    stale = [name for name, make in PAGES.items() if _committed(name) != make()]
    if arguments == ["--check"]:
        for name in stale:
            print(
                f"deploy/docs/pages/reference/{name}: not as the code says: run deploy/docs/manuals.py", file=sys.stderr
            )
        return 1 if stale else 0
    REFERENCE.mkdir(exist_ok=True)
    for name in stale:
        REFERENCE.joinpath(name).write_text(PAGES[name]())
    return 0


def _committed(name: str) -> str:
    path = REFERENCE / name
    return path.read_text() if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
