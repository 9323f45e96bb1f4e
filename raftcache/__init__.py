"""Raft Cache: a strongly consistent, replicated, in-memory key-value cache.

Users import from the packages below this one (``from raftcache.client import Client``).
Nothing inside imports this module, so that no import knot can form through it.
"""

__version__ = "0.1.0"
