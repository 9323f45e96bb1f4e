"""What was broken is put right, however the block is left."""

import os
import signal

import pytest

from orchestrator.undo import Undoing


def test_undos_run_the_last_first() -> None:
    done: list[str] = []

    with Undoing() as undoing:
        undoing.register(lambda: done.append("first"))
        undoing.register(lambda: done.append("second"))

    assert done == ["second", "first"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_block_in_order(number: signal.Signals) -> None:
    """A deed between its undo's registration and its own end is undone (failure G9)."""
    done: list[str] = []
    before = signal.getsignal(number)

    def strike() -> None:
        with Undoing() as undoing:
            undoing.register(lambda: done.append("undone"))
            os.kill(os.getpid(), number)
            done.append("not reached")

    with pytest.raises(KeyboardInterrupt):
        strike()

    assert done == ["undone"]
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_does_not_break_the_undoing_off() -> None:
    done: list[str] = []

    with Undoing() as undoing:
        undoing.register(lambda: done.append("undone"))
        undoing.register(lambda: os.kill(os.getpid(), signal.SIGINT))

    assert done == ["undone"]


def test_an_undo_that_fails_keeps_no_other_from_being_tried() -> None:
    done: list[str] = []

    def fail() -> None:
        raise OSError("no such process")

    def strike() -> None:
        with Undoing() as undoing:
            undoing.register(lambda: done.append("undone"))
            undoing.register(fail)

    with pytest.raises(OSError, match="no such process"):
        strike()

    assert done == ["undone"]
