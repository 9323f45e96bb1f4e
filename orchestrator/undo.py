"""Whatever is broken on purpose is put right again, however the command ends.

    with Undoing() as undoing:
        undoing.register(lambda: resume(names))
        pause(names)
        ...

An undo is registered *before* its deed: a Ctrl-C between the two then undoes what never happened,
which is harmless, instead of leaving what did. Ctrl-C, SIGTERM and SIGHUP leave the block like any
exception, and are not listened to while things are put right.
"""

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Undoing:
    """Undoes what was registered, the last first, when the block is left."""

    def __init__(self) -> None:
        self._undos: list[Callable[[], object]] = []
        self._handlers: dict[int, Any] = {}

    def register(self, undo: Callable[[], object]) -> None:
        """Have this called at the end."""
        self._undos.append(undo)

    def __enter__(self) -> Self:
        """Let signals end the block in order."""
        for number in _SIGNALS:
            self._handlers[number] = signal.signal(number, _interrupt)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Undo it all; an undo that fails keeps none of the others from being tried."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        failures: list[Exception] = []
        try:
            while self._undos:
                try:
                    self._undos.pop()()
                except Exception as failure:  # noqa: BLE001 - raised below
                    failures.append(failure)
        finally:
            for handled, handler in self._handlers.items():
                signal.signal(handled, handler)
        if failures:
            raise failures[0]


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)
