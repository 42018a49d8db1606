"""QEMU's PCnet, driven from outside over qtest: a chip that nobody here wrote, without a guest.

May import what `devices` may. The chip is not modelled here; the model that is held to it is `pcnet32.model`.
"""
