"""The flight recorder: the last minutes of all numbers and the last frames' heads, in memory of fixed size, written
down when something goes wrong or somebody asks; and the reader of what was written. May import `web`, whose numbers it
keeps, and all below. It changes nothing that it sees, and it is no capture: those are whole frames for one reader.
"""
