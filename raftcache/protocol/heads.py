"""The id of a request that is far too large, from its first bytes.

To skip over all of such a frame would keep the node from everything else for too long; and without
its id the refusal would tell the client nothing. Whoever writes `id` before what is large gets it.
"""

import re
from typing import Final

_HEAD_BYTES: Final = 4096
_FIELDS_MAX: Final = 16
_SCALAR: Final = rb'(?:"(?:[^"\\]|\\.)*"|[-+.\deE]+|true|false|null)'
_JSON_HEAD: Final = re.compile(
    rb'\{\s*(?:"[^"\\]*"\s*:\s*' + _SCALAR + rb'\s*,\s*)*?("id"\s*:\s*' + _SCALAR + rb")\s*[,}]"
)
_ID_KEY: Final = b"\xa2id"
_SIZES: Final = {
    **dict.fromkeys((0xC0, 0xC2, 0xC3), 1),  # nil, false, true
    **dict.fromkeys((0xCC, 0xD0), 2),  # integers, of 8 to 64 bits, and floats
    **dict.fromkeys((0xCD, 0xD1), 3),
    **dict.fromkeys((0xCE, 0xD2, 0xCA), 5),
    **dict.fromkeys((0xCF, 0xD3, 0xCB), 9),
}
_LENGTH_BYTES: Final = {0xC4: 1, 0xD9: 1, 0xC5: 2, 0xDA: 2}
"""How many bytes tell the length of a bin or str."""
_MAP_LENGTH_BYTES: Final = {0xDE: 2, 0xDF: 4}


def id_alone(frame: bytes, *, json: bool) -> bytes:
    """Return a small request with nothing but the ``id`` of this one; b"": it is not found.

    It is found if nothing but short fields stand before it.
    """
    head = frame[:_HEAD_BYTES]
    if json:
        found = _JSON_HEAD.match(head)
        return b"" if found is None else b"{%s}" % found[1]
    try:
        return _id_alone_in_msgpack(head)
    except IndexError:
        return b""


def _id_alone_in_msgpack(head: bytes) -> bytes:
    width = _MAP_LENGTH_BYTES.get(head[0], 0)
    if not width and not 0x80 <= head[0] <= 0x8F:
        return b""
    position = 1 + width
    for _ in range(_FIELDS_MAX):
        middle = _end_of_scalar(head, position)
        end = _end_of_scalar(head, middle)
        if not middle or not end or end > len(head):
            return b""
        if head[position:middle] == _ID_KEY:
            return b"\x81" + head[position:end]
        position = end
    return b""


def _end_of_scalar(head: bytes, position: int) -> int:
    """Return where what stands at ``position`` ends; 0: it is no scalar."""
    first = head[position]
    if first <= 0x7F or first >= 0xE0:
        return position + 1
    if 0xA0 <= first <= 0xBF:
        return position + 1 + (first & 0x1F)
    if first in _SIZES:
        return position + _SIZES[first]
    width = _LENGTH_BYTES.get(first, 0)
    begin = position + 1 + width
    return begin + int.from_bytes(head[position + 1 : begin]) if width else 0
