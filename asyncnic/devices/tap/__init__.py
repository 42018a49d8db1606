"""The chip's model on a TAP of the kernel: its descriptors, lanes, queues and counters.

May import what `devices` may. The chip is `pcnet32.model`, steering programs are `lanes`; nobody here reads a frame.
"""
