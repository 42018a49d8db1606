"""An Am79C970A in software: the other side of the same `Port`.

May import what both sides share, never `driver/`. Its wire is a pair of callables: it opens nothing.
"""
