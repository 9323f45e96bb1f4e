"""The command line: thin over the verbs as a library, and quick to start.

Only what the verb at hand needs is imported. Results go to stdout, everything said to a person on
the way to stderr; with ``--json`` stdout has one JSON document, of any outcome.
"""

import os
import signal
import sys
from collections.abc import Sequence

EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. Nothing escapes as a traceback."""
    try:
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # bin/start.py
            signal.signal(signal.SIGINT, signal.default_int_handler)
        from .run import run  # noqa: PLC0415 - a Ctrl-C during the imports is met here as well

        return run(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough, as `head` does. Python would complain at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
