"""`asyncnic unbind`: give a PCI NIC back to the kernel's driver."""

import click


@click.command()
@click.argument("address", metavar="PCI-ADDRESS")
def command(address: str) -> None:
    """Give the NIC at PCI-ADDRESS back to the kernel's own driver."""
    from asyncnic.devices.uio.pci import unbind

    print(f"{address}: {unbind(address) or 'no driver'}")
