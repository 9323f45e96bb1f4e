"""Starts a node that may open so many files and no more: ``few_descriptors.py COUNT SETTINGS``."""

import resource
import sys

from raftcache.parent import ParentWatch

if __name__ == "__main__":
    parent = ParentWatch()
    from raftcache.node.main import main

    count = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
    sys.exit(main(sys.argv[2:], parent))
