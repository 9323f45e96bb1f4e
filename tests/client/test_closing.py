"""A blocking client that is closed while it works: by another thread, or by a signal handler."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from raftcache.client import Client, OutcomeUnknown

from .both import playing
from .fake_node import FakeNode, Fields, Request, found
from .fake_store import FakeStore


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@contextmanager
def on_signal(handler: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Let a handler run in the main thread, once, in the midst of whatever it does."""
    before = signal.signal(signal.SIGUSR1, lambda *_: handler())
    is_sent = threading.Event()

    def send() -> None:
        if not is_sent.is_set():
            is_sent.set()
            os.kill(os.getpid(), signal.SIGUSR1)

    try:
        yield send
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda client: client.get("k", timeout=60), ValueError),
        (lambda client: client.set("k", "v", timeout=60), OutcomeUnknown),
    ],
)
@pytest.mark.parametrize("session", ["a session", None])
def test_a_call_under_way_ends_when_another_thread_closes(
    call: Callable[[Client], Any], error: type[Exception], session: str | None, store: FakeStore
) -> None:
    """It would last until its deadline, and the program with it; the session still ends well."""
    asked = threading.Event()

    def stall(_node: FakeNode, request: Request) -> bool:
        if request["op"] not in ("get", "set"):
            return False
        asked.set()
        return True

    store.trouble = stall
    with playing(store) as nodes:
        client = Client([nodes[0].endpoint], exactly_once=session is not None)
        if session is not None:
            client.session(timeout=30)

        def close() -> None:
            asked.wait()
            client.close()

        thread = threading.Thread(target=close)
        thread.start()
        with pytest.raises(error, match="closed"):
            call(client)
        thread.join()
        with pytest.raises(ValueError, match="closed"):
            call(client)

    assert ("session_close" in store.ops()) is (session is not None)


def test_a_client_that_finds_no_node_ends_when_it_is_closed(dead_endpoint: str) -> None:
    client = Client(dead_endpoint)
    timer = threading.Timer(0.05, client.close)
    timer.start()
    with pytest.raises(ValueError, match="closed"):
        client.get("k", timeout=60)
    timer.join()


def test_a_signal_handler_may_close_the_client_that_works(store: FakeStore) -> None:
    """What programs do at SIGTERM: they must not wait for themselves."""
    with playing(store) as nodes, Client([nodes[0].endpoint]) as client:
        client.session(timeout=30)
        with on_signal(client.close) as send:
            store.trouble = lambda _node, request: request["op"] == "get" and not send()
            with pytest.raises(ValueError, match="closed"):
                client.get("k", timeout=60)
        assert "session_close" in store.ops()


def test_a_signal_handler_may_close_the_watch_that_waits(store: FakeStore) -> None:
    with playing(store) as nodes, Client([nodes[0].endpoint]) as client:
        watch = client.watch("k", from_rev=1)
        with on_signal(watch.close) as send:
            store.trouble = lambda _node, request: request["op"] == "watch" and not send()
            assert list(watch) == []
        assert repr(watch).endswith(": closed>")


def test_a_signal_handler_is_told_that_the_client_is_busy() -> None:
    told: list[str] = []

    def use() -> None:
        with pytest.raises(RuntimeError) as error:
            client.get("other")
        told.append(str(error.value))

    with on_signal(use) as send:

        def answer(_node: FakeNode, _request: Request) -> Fields:
            send()
            return found(b"v")

        with FakeNode(answer) as node, Client([node.endpoint]) as client:
            assert client.get("k", timeout=60) == b"v"
            assert client.get("k", timeout=60) == b"v"

    assert len(told) == 1
    assert "in the middle of a call of this thread" in told[0]
