"""The driver's side of the chip: bring-up, receive ring, transmit ring, hand-back, against a `Port`.

May import what both sides share, never `model/`. When to look and how much to take is decided in `nic`.
"""
