"""Several processes on one TAP: each reads a queue of its own into its own ring, with a stack and a loop of its own.

The service's process (group.py) makes the TAP and hands its queues out; the workers (child.py) never see the interface
itself. Nothing here is used with one worker, which is the service's process.
"""
