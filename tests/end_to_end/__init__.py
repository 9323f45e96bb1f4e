"""Whole clusters of real processes, sockets and disks: what only these can show."""
