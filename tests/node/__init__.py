"""Whole nodes under virtual time."""
