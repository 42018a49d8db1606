"""`asyncnic bind`: hand a PCI NIC to uio_pci_generic."""

import click


@click.command()
@click.argument("address", metavar="PCI-ADDRESS")
def command(address: str) -> None:
    """Take the PCnet NIC at PCI-ADDRESS (like 0000:00:03.0) from the kernel's driver, for `run --device uio:...`."""
    from asyncnic.devices.uio.pci import bind

    print(f"{address}: {bind(address)}")
