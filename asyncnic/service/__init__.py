"""The service: engine, supervision, workers, tuning, control, and what is observed of them all.

May import stacks and all below, and `web`, which shows it. It moves no frame and decides nothing about any.
"""
