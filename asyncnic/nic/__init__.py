"""The driver's event-loop side: waits for interrupts, takes bursts, hands them to delivery, keeps the ledger.

May import devices and all below them. It looks into no frame, and what a stack makes of a burst is not its business.
"""
