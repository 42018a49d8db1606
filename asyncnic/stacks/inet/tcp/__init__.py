"""TCP (RFC 9293) for the inet stack, sans I/O, and its asyncio skin.

Read in this order: `states` (figure 5 as a table), `connection`, `arrival` (what a segment does, clause by clause),
`sender` and `receiver` (the two halves of a connection), `host` (demultiplexing, listeners, limits). What is not
needed to follow these is in a file of its own each. `transport`, `server` and `api` are the asyncio skin.

Left out on purpose: RACK and TLP (RFC 8985), Fast Open, ECN, and urgent data beyond skipping it.
"""
