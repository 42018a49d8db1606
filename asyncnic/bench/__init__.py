"""The experiments: load, peers, cases in processes of their own, tables and plots, the guest lab.

May import everything below `commands`. The service imports nothing of it: it measures the product and is no part of it.
"""
