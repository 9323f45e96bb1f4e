"""Tests of chaos scenarios."""
