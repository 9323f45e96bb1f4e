"""Runs the command line: ``python -m orchestrator.cli``."""

import sys

from . import main

sys.exit(main())
