"""What goes wrong and is told in one line: the user's mistakes, the device's failures, and the run's.

Nothing here prints or exits: `asyncnic.cli` turns each error into one line and an exit code.
"""


class Failed(Exception):  # noqa: N818 - it says what happened to the run
    """Something failed while running: exit code 1. The message is one line that names the flag or file, and the fix."""


class SettingsError(Exception):
    """A setting is wrong: exit code 2. The message is one line that starts with what the user typed."""


class DeviceError(Exception):
    """The device is absent or cannot be used. The message is one line that names the device and the fix."""


class PrivilegeError(DeviceError):
    """The device is there and the privilege to use it is missing. The message names the fix."""


class DeviceLost(DeviceError):  # noqa: N818 - it says what happened to a device that was fine
    """The device went away while running (TAP deleted, QEMU gone, card pulled)."""


class WireEnded(Exception):  # noqa: N818 - it says what happened, and nothing went wrong
    """The wire has no more frames and never will have: the end of a capture."""


class TakenError(ValueError):
    """A stack says of a burst what cannot be. One line that says what."""
