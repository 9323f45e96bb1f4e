"""A lean XML-RPC client for supervisord's Unix socket.

The standard library's ``xmlrpc.client`` costs 40 ms to import; this one, over expat, one. It knows
the types that supervisord uses, opens a connection per call (so a broken one can't poison the
next), and turns faults into exceptions.
"""

import socket
from collections.abc import Sequence
from typing import Any
from xml.parsers import expat

TIMEOUT_SECONDS = 10.0
REPLY_BYTES_MAX = 4 * 1024 * 1024


class Fault(Exception):  # noqa: N818 - named for the fact
    """supervisord refused a call; ``number`` is its fault code."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(f"supervisord: {text}")
        self.number = number
        self.text = text


class Unreachable(Exception):  # noqa: N818 - named for the fact
    """supervisord does not answer on its socket."""


def call(path: str, method: str, *arguments: str | int | bool) -> Any:
    """Call a method of the supervisord that listens at ``path``.

    Raises:
        Unreachable: nobody answers there.
        Fault: supervisord refused.
    """
    body = _encode(method, arguments)
    head = (
        "POST /RPC2 HTTP/1.0\r\nHost: localhost\r\nContent-Type: text/xml\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(TIMEOUT_SECONDS)
            connection.connect(path)
            connection.sendall(head.encode() + body)
            reply = _read(connection)
    except OSError as error:
        raise Unreachable(f"{path}: {error}") from error
    status, _, payload = reply.partition(b"\r\n\r\n")
    if b" 200 " not in status.split(b"\r\n", 1)[0]:
        raise Unreachable(f"{path}: answered {status[:60]!r}")
    return _decode(payload)


def _read(connection: socket.socket) -> bytes:
    parts: list[bytes] = []
    size = 0
    while size < REPLY_BYTES_MAX:
        part = connection.recv(65_536)
        if not part:
            break
        parts.append(part)
        size += len(part)
        head, found, payload = b"".join(parts).partition(b"\r\n\r\n")
        if found and len(payload) >= _content_length(head):
            break
    return b"".join(parts)


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return REPLY_BYTES_MAX


def _encode(method: str, arguments: Sequence[str | int | bool]) -> bytes:
    values = "".join(f"<param><value>{_encode_value(value)}</value></param>" for value in arguments)
    return (
        f"<?xml version='1.0'?><methodCall><methodName>{method}</methodName>"
        f"<params>{values}</params></methodCall>"
    ).encode()


def _encode_value(value: str | int | bool) -> str:  # noqa: FBT001 - one of XML-RPC's types
    if isinstance(value, bool):
        return f"<boolean>{int(value)}</boolean>"
    if isinstance(value, int):
        return f"<int>{value}</int>"
    escaped = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"<string>{escaped}</string>"


def _decode(payload: bytes) -> Any:
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.on_start
    parser.EndElementHandler = reader.on_end
    parser.CharacterDataHandler = reader.on_text
    try:
        parser.Parse(payload, True)
    except expat.ExpatError as error:
        raise Unreachable(f"an answer that is no XML: {error}") from error
    value = reader.finished[-1] if reader.finished else None
    if reader.is_fault and isinstance(value, dict):
        raise Fault(int(value["faultCode"]), str(value["faultString"]))
    return value


class _Reader:
    """Builds values from elements: finished ones on a stack, collected when their parent ends."""

    def __init__(self) -> None:
        self.finished: list[Any] = []
        self.begun: list[int] = []  # of each open array or struct: where its parts begin
        self.text: list[str] = []
        self.is_fault = False
        self.typed = False

    def on_start(self, tag: str, _attributes: dict[str, str]) -> None:
        self.text.clear()
        if tag == "fault":
            self.is_fault = True
        elif tag in {"array", "struct"}:
            self.begun.append(len(self.finished))
        self.typed = tag != "value"

    def on_text(self, text: str) -> None:
        self.text.append(text)

    def on_end(self, tag: str) -> None:
        text = "".join(self.text)
        if tag in {"int", "i4", "boolean"}:
            self.finished.append(int(text))
        elif tag == "double":
            self.finished.append(float(text))
        elif tag in {"string", "name"} or (tag == "value" and not self.typed):
            self.finished.append(text)
        elif tag == "nil":
            self.finished.append(None)
        elif tag == "array":
            start = self.begun.pop()
            self.finished[start:] = [self.finished[start:]]
        elif tag == "struct":
            start = self.begun.pop()
            parts = self.finished[start:]
            self.finished[start:] = [dict(zip(parts[::2], parts[1::2], strict=True))]
        self.typed = True
        self.text.clear()
