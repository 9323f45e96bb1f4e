"""The command line: thin over the verbs as a library, and quick to start.

Only what the verb at hand needs is imported. Results go to stdout, everything said to a person on
the way to stderr; with ``--json`` stdout has one JSON document, of any outcome.
"""

import io
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141
EXIT_OUTPUT_FAILED = 74
_ONCE_MORE_SECONDS = 0.01


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. Nothing escapes as a traceback."""
    try:
        _open_what_is_closed()
        _spell_out_what_has_no_letter()
        from .run import run  # noqa: PLC0415 - a Ctrl-C during the imports is met here as well

        _heed_interrupts()
        try:
            return run(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            _flush()
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough, as `head` does.
        _give_up_output()
        return EXIT_BROKEN_PIPE
    except _OutputFailed as error:
        sys.stderr.write(f"the output could not be written: {error}\n")
        _give_up_output()
        return EXIT_OUTPUT_FAILED
    finally:
        _let_go_of_interrupts()


def _heed_interrupts() -> None:
    """Take Ctrl-C over, and see that none is lost.

    Where one falls into a callback of the interpreter, as there are in each import, it can't be
    raised: Python complains and goes on. Then it comes once more, a moment later.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # bin/start.py
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.unraisablehook is sys.__unraisablehook__:
        signal.signal(signal.SIGALRM, _once_more)
        sys.unraisablehook = _on_unraisable


def _on_unraisable(unraisable: "UnraisableHookArgs") -> None:
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, _ONCE_MORE_SECONDS)
    else:
        sys.__unraisablehook__(unraisable)


def _let_go_of_interrupts() -> None:
    """Leave the interpreter to its end: a Ctrl-C now has nothing left to interrupt."""
    if sys.unraisablehook is _on_unraisable:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = sys.__unraisablehook__
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def _once_more(_number: int, _frame: FrameType | None) -> None:
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # whoever cleans up is deaf to it
        raise KeyboardInterrupt


class _OutputFailed(Exception):  # noqa: N818 - named for the fact
    """Stdout takes nothing any more, as on a full disk."""


def _flush() -> None:
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _OutputFailed(error.strerror) from error


def _give_up_output() -> None:
    """Let what is still buffered go nowhere: Python would complain of it at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _spell_out_what_has_no_letter() -> None:
    """Write a letter by its number where the encoding of our output does not have it."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def _open_what_is_closed() -> None:
    """Send what was closed, as by ``>&-``, nowhere, before a socket takes its number."""
    from .console import closed_streams  # noqa: PLC0415 - as everything of ours

    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            closed_streams.add(name)
            nowhere = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: its own
            setattr(sys, name, os.fdopen(nowhere, "r" if name == "stdin" else "w"))
