"""What the hot path's texts ask of Cython when they are interpreted and Cython is not installed. Nothing else."""

compiled = False
