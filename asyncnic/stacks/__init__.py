"""Who gets the frames: `inet` (our own), `kernel` (Linux, through a TAP), `sink` (nobody), or the user's.

May import the nic's public side and settings. `inet` is sans I/O but for its skin; a stack never sees a descriptor.
"""
