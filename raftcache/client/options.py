"""What a client may be told when it is made; :class:`Client` says what each means."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias, TypedDict

Endpoints: TypeAlias = str | Sequence[str]
Folder: TypeAlias = str | Path | None


class Options(TypedDict, total=False):
    """The options of a :class:`Client`, but for its codec, which decides about its type."""

    timeout: float
    exactly_once: bool
    session_ttl: float


class AsyncOptions(Options, total=False):
    """Those of an :class:`AsyncClient`."""

    coalesce: bool
