"""`bin/cluster demo`: a cluster, a load, the leader killed, and an account of every write.

``play`` is the course of events, ``writers`` the recording clients, ``narration`` turns the nodes'
events into sentences, ``history`` judges what was written against what is there, ``show`` lays it
all out.
"""
