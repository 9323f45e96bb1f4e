"""What a node keeps on disk: its identity and its write-ahead log (docs/storage.md).

This package knows Raft's values, never its rules. Every file call goes through ``files.Files``.
"""
