"""The consensus core: Raft without I/O, clock or randomness of its own (paper Figure 2)."""
