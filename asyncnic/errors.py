"""What goes wrong that is not the device's fault; `DeviceError` and its kin live beside the devices.

Nothing here prints or exits: `asyncnic.cli` turns each error into one line and an exit code.
"""


class Failed(Exception):  # noqa: N818 - it says what happened to the run
    """Something failed while running: exit code 1. The message is one line that names the flag or file, and the fix."""


class SettingsError(Exception):
    """A setting is wrong: exit code 2. The message is one line that starts with what the user typed."""
