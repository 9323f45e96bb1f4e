"""One call of a verb: its options, where its cluster is, and how it talks."""

import argparse

from ..paths import Paths, locate
from .console import Console


class Call:
    """What a verb is given."""

    def __init__(self, options: argparse.Namespace, console: Console) -> None:
        self.options = options
        self.console = console

    @property
    def paths(self) -> Paths:
        """The cluster that is meant, found anew at each use."""
        return locate(self.options.file, self.options.state)
