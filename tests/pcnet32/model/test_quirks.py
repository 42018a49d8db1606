"""The two chips the model knows by name."""

from dataclasses import astuple

from asyncnic.pcnet32.model.quirks import QEMU, SILICON


def test_silicon_has_no_quirk_and_qemu_every_one() -> None:
    assert not any(astuple(SILICON))
    assert all(astuple(QEMU))
