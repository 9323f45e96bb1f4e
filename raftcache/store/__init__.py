"""The replicated state machine: commands in, results out, the same on every server.

Nothing here reads a clock, the environment or a random number, opens a file or a socket: the
state is a function of the log alone. This file imports nothing, so that a client may use
``commands`` without what only a server needs.
"""
