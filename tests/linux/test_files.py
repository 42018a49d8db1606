"""Files that are read bounded, and written whole or not at all."""

import os
from pathlib import Path

import pytest

from asyncnic.linux.files import must_be_regular, read_file, write_beside


def test_a_file_is_replaced_when_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("old")
    file.chmod(0o640)
    with write_beside(file) as out:
        out.write(b"new")
        assert file.read_text() == "old"
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("new", 0o640)
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_file_is_as_it_was_when_writing_fails(tmp_path: Path, error: type[BaseException]) -> None:
    file, missing = tmp_path / "a.json", tmp_path / "b.json"
    file.write_text("old")
    for path in (file, missing):
        with pytest.raises(error), write_beside(path) as out:
            out.write(b"new")
            raise error
    assert (file.read_text(), os.listdir(tmp_path)) == ("old", ["a.json"])


def test_a_new_file_has_the_mode_that_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with write_beside(tmp_path / "new"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    link, target = tmp_path / "link", tmp_path / "to" / "file"
    link.symlink_to(target)
    with write_beside(link) as out:
        out.write(b"new")
    assert link.is_symlink()
    assert (target.read_text(), os.listdir(tmp_path / "to")) == ("new", ["file"])


def test_what_is_no_regular_file_is_written_as_it_stands() -> None:
    with write_beside(Path("/dev/null")) as out:
        out.write(b"away")
    assert not Path("/dev/null").is_file()


def test_a_folder_that_is_not_there_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), write_beside(tmp_path / "no" / "file"):
        pass


def test_only_a_regular_file_can_be_read_again(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "fifo")
    assert read_file(tmp_path / "file", again=True) == b"x"
    must_be_regular(tmp_path / "file")
    for name in ("fifo", "."):
        with pytest.raises(OSError, match=r"no regular file|Is a directory"):
            read_file(tmp_path / name, again=True)
        with pytest.raises(OSError, match="no regular file"):
            must_be_regular(tmp_path / name)
