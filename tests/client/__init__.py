"""Tests of the client: routing in virtual time, the driver against a scripted node."""
