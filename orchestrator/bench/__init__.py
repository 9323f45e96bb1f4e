"""How fast a cluster is, beside the floor: a server that only answers, under the same load.

``loads`` says what is asked, ``drive`` asks it, ``floor`` is the other server, ``measure`` puts one
load on both, and ``suite`` does it for a row of loads.
"""
