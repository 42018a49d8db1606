"""This Python as a list of files for another root: interpreter, library, this package and what it depends on.

Paths of the interpreter and its library stay what they are here, since they are compiled into it. Packages go to one
folder. Nothing is copied yet: `image.py` packs what is listed. Only what an installed package declares is taken, not
the whole environment.
"""

import importlib.metadata
import importlib.util
import os
import py_compile
import re
import struct
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import asyncnic
from asyncnic.bench.guest.cpio import Entry, regular, symlink

PACKAGES = "opt/asyncnic/packages"
BIN = "opt/asyncnic/bin"
_UNWANTED_FOLDERS = frozenset(
    {
        *("__pycache__", "test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "distutils"),
        *("pydoc_data", "site-packages", "dist-packages"),
    }
)
_UNWANTED_ENDINGS = (".c", ".h", ".pyx", ".pxd", ".pxi", ".pyi", ".a", ".exe")
_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")
_REQUIREMENT = re.compile(r"[A-Za-z0-9._-]+")


def python_entries() -> Iterator[Entry]:
    """The interpreter and its standard library, in their places, and `python3` in `BIN`."""
    program = Path(os.path.realpath(sys.executable))
    yield from program_entries([program])
    yield symlink(f"{BIN}/python3", str(program))
    library = Path(sysconfig.get_path("stdlib"))
    yield from folder_entries(library, str(library).lstrip("/"))


def folder_entries(folder: Path, place: str) -> Iterator[Entry]:
    """What lies below `folder`, at `place`: modules with their bytecode, extension modules with their libraries,
    data.
    """
    extensions = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if _UNWANTED_FOLDERS.intersection(inside.parts[:-1]) or inside.parts[0].startswith("config-3"):
            continue
        if not path.is_file() or path.name.endswith(_UNWANTED_ENDINGS):
            continue
        yield regular(f"{place}/{inside}", path.read_bytes(), mtime=int(path.stat().st_mtime))
        if path.suffix == ".py":
            cached = Path(importlib.util.cache_from_source(str(path)))
            yield regular(f"{place}/{inside.parent / '__pycache__' / cached.name}", bytecode(path, cached))
        elif path.suffix == ".so":
            extensions.append(path)
    yield from library_entries(extensions)


def own_entries() -> Iterator[Entry]:
    """This package as it stands, in `PACKAGES`, with enough metadata to tell its version, and `asyncnic` in `BIN`."""
    yield from folder_entries(Path(asyncnic.__file__).parent, f"{PACKAGES}/asyncnic")
    metadata = f"Metadata-Version: 2.1\nName: asyncnic\nVersion: {importlib.metadata.version('asyncnic')}\n"
    yield regular(f"{PACKAGES}/asyncnic.dist-info/METADATA", metadata.encode())
    yield regular(f"{BIN}/asyncnic", b'#!/bin/sh\nexec python3 -m asyncnic "$@"\n', 0o755)


def dependency_entries() -> Iterator[Entry]:
    """What this package requires, in `PACKAGES`."""
    for distribution in _closure():
        roots = {file.parts[0] for file in distribution.files or () if ".." not in file.parts}
        for root in sorted(roots - {"__pycache__"}):
            path = Path(str(distribution.locate_file(root)))
            if path.is_dir():
                yield from folder_entries(path, f"{PACKAGES}/{root}")
            elif path.suffix in (".py", ".so"):
                yield regular(f"{PACKAGES}/{root}", path.read_bytes())


def program_entries(programs: Iterable[Path]) -> Iterator[Entry]:
    """Programs in their places, with the shared libraries that they are linked to."""
    for program in programs:
        yield regular(str(program).lstrip("/"), program.read_bytes(), 0o755)
        yield from library_entries([program])


def library_entries(files: Iterable[Path]) -> Iterator[Entry]:
    """Shared libraries that `files` are linked to, and the dynamic loader, in their places."""
    found: set[str] = set()
    names = [str(file) for file in files]
    if names:
        listing = subprocess.run(["ldd", *names], capture_output=True, text=True, check=False).stdout
        found.update(_LIBRARY.findall(listing))
    for name in sorted(found):
        yield regular(name.lstrip("/"), Path(name).read_bytes(), 0o755)


def bytecode(source: Path, cached: Path) -> bytes:
    """Compiled form of a module, so that the guest need not compile: `cached` if of this source, else made now."""
    status = source.stat()
    stamp = b"\0\0\0\0" + struct.pack("<II", int(status.st_mtime) & 0xFFFF_FFFF, status.st_size & 0xFFFF_FFFF)
    if cached.exists():
        code = cached.read_bytes()
        if code[:16] == importlib.util.MAGIC_NUMBER + stamp:
            return code
    with tempfile.NamedTemporaryFile(suffix=".pyc") as file:
        py_compile.compile(str(source), file.name, str(source), doraise=True)
        return Path(file.name).read_bytes()


def requirements() -> list[str]:
    """What this package requires, by whatever metadata of it is found: a source tree beside an installation has its
    own.
    """
    return sorted(
        {text for found in importlib.metadata.distributions(name="asyncnic") for text in found.requires or ()}
    )


def _closure() -> Iterator[importlib.metadata.Distribution]:
    """Distributions that this package requires, directly or not, as far as they are installed: what a marker excludes
    is not.
    """
    waiting, seen = requirements(), set[str]()
    while waiting:
        requirement = waiting.pop()
        match = _REQUIREMENT.match(requirement)
        if "extra ==" in requirement or match is None or match[0] in seen:
            continue
        seen.add(match[0])
        with suppress(importlib.metadata.PackageNotFoundError):
            distribution = importlib.metadata.distribution(match[0])
            yield distribution
            waiting += distribution.requires or ()
