"""The chip's model on a macvtap: one more station on the wire of a real interface.

May import what `devices` may, and the TAP's lane. It is no TAP of our own: the interface below belongs to the host.
"""
