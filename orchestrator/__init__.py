"""Starts, watches, breaks and ends a cluster of node processes on this host.

A wheel installs this folder under the name ``raftcache_orchestrator``, so its modules import each
other relatively, and start each other by computed names. What costs time to import (ZeroMQ,
PyYAML, psutil, the storage) is imported only by the modules that need it, because a command line
is as fast as its imports.
"""
