"""What stands between rings and stack: nothing (direct), or a bounded queue with a reader and a worker.

May import the nic's bursts and rings. A delivery counts what it drops and never looks into a frame.
"""
