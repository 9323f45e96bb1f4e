"""Tests of the client protocol."""
