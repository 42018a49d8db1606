"""The chip, pure: registers, descriptors, memory and the port that both of its sides share, after the data sheet.

May import `hot` alone. No file descriptor, no clock, no asyncio: `driver/` talks to a `Port`, `model/` is one.
"""
