"""What a load is, and its requests, encoded beforehand.

The generator shares the processors with the nodes, so it must be cheap: what goes out is joined
from bytes that are there already, and of a reply only ``ok`` and ``id`` are looked for.
"""

from typing import Final

import msgspec

KEY_PREFIX: Final = "bench:"
KEYS_MAX: Final = 10_000
ENCODED_BYTES_MAX: Final = 32 * 1024 * 1024
"""How much memory the encoded requests of one load may take."""
REQUESTS_MIN: Final = 16
SLOT_DIGITS: Final = 6
OK: Final = b"\xa2ok\xc3"
NOT_OK: Final = b"\xa2ok\xc2"
ID: Final = b"\xa2id" + bytes([0xA0 | SLOT_DIGITS])
"""The name ``id`` and the head of a text: a slot's number, fixed in width."""
MIXES: Final = ("set", "get", "90/10")
_STRIDE: Final = 7_919  # a prime: every key comes, and neighbours are far apart
_encode = msgspec.msgpack.Encoder().encode


class Load(msgspec.Struct, frozen=True):
    """A kind of load."""

    clients: int
    """Connections."""
    in_flight: int = 1
    """Requests that each has under way; 1: a REQ socket, more: a DEALER."""
    batch: int = 1
    """Operations in a request; 1: no batch."""
    mix: str = "set"
    """``set``, ``get``, or ``90/10``: nine gets to a set."""
    value_bytes: int = 256

    @property
    def name(self) -> str:
        """What people read."""
        many = f"{self.clients} x {self.in_flight}" if self.in_flight > 1 else f"{self.clients}"
        each = f", {self.batch} a batch" if self.batch > 1 else ""
        return f"{self.mix}, {many}{each}"

    @property
    def keys(self) -> int:
        """How many keys it uses: fewer when values are large."""
        room = ENCODED_BYTES_MAX // (self.value_bytes + 64)
        return max(REQUESTS_MIN, min(KEYS_MAX, room))


class Request(msgspec.Struct, frozen=True):
    """An encoded request in two parts: before the slot's digits, and behind them."""

    head: bytes
    tail: bytes


def value_of(load: Load) -> bytes:
    """Return the value that a load writes."""
    digits = b"0123456789"
    return (digits * (load.value_bytes // len(digits) + 1))[: load.value_bytes]


def key_of(number: int) -> bytes:
    """Return a key by its number."""
    return f"{KEY_PREFIX}{number:08d}".encode()


def requests_of(load: Load) -> list[Request]:
    """Encode what this load sends, over and over, each request with other keys."""
    value = value_of(load)
    size = load.batch * (value_weight(load) + 48)
    count = max(REQUESTS_MIN, min(load.keys, ENCODED_BYTES_MAX // size))
    operations = 0
    made = []
    for _ in range(count):
        group = []
        for _ in range(load.batch):
            is_set = load.mix == "set" or (load.mix == "90/10" and operations % 10 == 0)
            key = key_of(operations * _STRIDE % load.keys)
            group.append(_operation(is_set=is_set, key=key, value=value))
            operations += 1
        made.append(_request(group))
    return made


def value_weight(load: Load) -> int:
    """Return how many bytes of values an operation of this load sends, at the most."""
    return 0 if load.mix == "get" else load.value_bytes


def fill_requests(load: Load, batch: int = 100) -> list[bytes]:
    """Encode batches that write every key of a load once, so that each get finds one."""
    value = value_of(load)
    batch = max(1, min(batch, 1024 * 1024 // (load.value_bytes + 64)))
    keys = [key_of(number) for number in range(load.keys)]
    return [
        whole(_request([_operation(is_set=True, key=key, value=value) for key in group]), 0)
        for group in (keys[start : start + batch] for start in range(0, len(keys), batch))
    ]


def whole(request: Request, slot: int) -> bytes:
    """Return a request as it goes out."""
    return request.head + slot_digits(slot) + request.tail


def slot_digits(slot: int) -> bytes:
    """Return the text that stands for a slot."""
    return b"%0*d" % (SLOT_DIGITS, slot)


def _operation(*, is_set: bool, key: bytes, value: bytes) -> dict[str, object]:
    return {"op": "set", "key": key, "value": value} if is_set else {"op": "get", "key": key}


def _request(operations: list[dict[str, object]]) -> Request:
    if len(operations) == 1:
        op, fields = str(operations[0]["op"]), {**operations[0]}
        del fields["op"]
    else:
        op, fields = "batch", {"ops": operations}
    head = bytes([0x80 | (2 + len(fields))]) + _encode("op") + _encode(op) + ID
    tail = b"".join(_encode(name) + _encode(field) for name, field in fields.items())
    return Request(head, tail)
