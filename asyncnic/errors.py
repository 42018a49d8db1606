"""Failures that are neither the configuration's nor the device's.

`SettingsError` (the configuration), `DeviceError` and `PrivilegeError` (the device) live with what raises them;
`asyncnic.cli` turns each of them into one line and an exit code.
"""


class Failed(Exception):  # noqa: N818 - it says what happened to the run
    """Something failed while running: exit code 1. The message is one line that names the flag or file, and the fix."""
