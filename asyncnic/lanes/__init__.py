"""Lanes: rules, the programs that steer and shed by them, how deep a lane's queue is and whose turn comes.

May import `linux`, `hot` and errors. It opens no device: programs are attached by who owns the TAP or socket.
"""
