from collections.abc import Iterator

import pytest

from tests.devices.packet.rig import Cable


@pytest.fixture
def cable() -> Iterator[Cable]:
    cable = Cable()
    yield cable
    cable.unplug()
