"""What talks to a running service: HTTP over TCP or the control socket, tables, the live terminal view.

May import settings, errors and values that both sides share. It opens no device and never runs in the service.
"""
