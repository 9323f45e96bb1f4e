"""A cluster in one process: the simulated disk, and what grows around it."""
