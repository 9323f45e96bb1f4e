"""Tests of the bench: what is sent, what is counted, what is shown."""
