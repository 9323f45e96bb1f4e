"""The results of batches that only set, or only get, as MessagePack carries them.

Rules of this file: it is a short cut and nothing else; what it does not take, ``replies`` does in
the general way, with the same bytes. Tests hold the two equal.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ..store.results import GetResult, SetResult


class _Set(msgspec.Struct, gc=False):
    ok: bool
    mod_rev: int
    created: bool


class _Get(msgspec.Struct, gc=False):
    ok: bool
    found: bool
    value: bytes | None
    mod_rev: int
    create_rev: int
    key_version: int
    ttl_ms: int | None
    session: int | None


def plain_results(results: Sequence[Any]) -> list[Any] | None:
    """Return results ready to be encoded; None: they are not all of one of these two kinds."""
    kinds = {*map(type, results)}
    if kinds == _SETS:
        if any(one.has_prev or one.prev_omitted for one in results):
            return None
        return [_Set(True, one.mod_rev, one.created) for one in results]
    if kinds == _GETS:
        return [
            _Get(
                True,
                one.found,
                one.value,
                one.mod_rev,
                one.create_rev,
                one.key_version,
                one.ttl_ms,
                one.session,
            )
            for one in results
        ]
    return None


_SETS: Final = {SetResult}
_GETS: Final = {GetResult}
