"""``python -m orchestrator.bugs``: the program is a module, so that its processes find it."""

import sys

from .program import main

if __name__ == "__main__":
    sys.exit(main())
