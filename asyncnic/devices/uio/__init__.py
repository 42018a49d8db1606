"""A PCI function bound to uio_pci_generic: registers, DMA memory from huge pages, the interrupt.

May import what `devices` may. The driver is `pcnet32.driver`, the same as for every other chip.
"""
