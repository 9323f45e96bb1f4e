"""The simulator: seeds, points, shrinking, and that it finds what is planted."""
