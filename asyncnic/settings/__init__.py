"""The one settings model: flags, variables and TOML keys, their values, and the live knobs.

May import the grammar of lanes and errors. Settings are values: they open nothing and never change.
"""
