"""``python -m raftcache.gateway SETTINGS.json``: see ``main``."""

import sys

from ..parent import ParentWatch

if __name__ == "__main__":
    parent = ParentWatch()  # Before the imports that take time.
    from .main import main

    sys.exit(main(sys.argv[1:], parent))
