"""One node: Raft, the store and the requests that wait, put together.

``server`` and all it uses run without I/O or clock, under virtual time as well as in a process;
``loop`` alone waits and reads a clock. ``ready`` alone knows the order persist, send, apply, reply.
"""
