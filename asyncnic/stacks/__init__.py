"""Who gets the frames: each module or folder here that declares a `SPEC` (stack.py) is a stack, or the user's own.

May import the nic's public side and the values of settings, not their model, whose grammar is made from the stacks.
Importing a stack's module is cheap: what is heavy comes with `SPEC.make`. A stack never sees a descriptor.
"""
