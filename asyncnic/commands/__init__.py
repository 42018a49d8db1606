"""The commands of `asyncnic`, one file each: parse, call, print. See `asyncnic.cli` for the table of them."""
