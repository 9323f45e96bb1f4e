"""What must hold for a request to be carried out: If-Match and If-None-Match (RFC 9110, 13.1).

A key's entity tag is its ``mod_rev`` in quotes. A key that does not exist has the revision 0, and
no tag is ever ``"0"``.
"""

import re
from collections.abc import Sequence
from http import HTTPStatus

import msgspec

from .answers import HttpError

_TAG = re.compile(r'[ \t]*(W/)?"([\x21\x23-\x7e\x80-\U0010ffff]*)"[ \t]*(?:,|\Z)')
_REVISION = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)


class Tags(msgspec.Struct, frozen=True):
    """What a header names: everything that exists, or some revisions."""

    everything: bool
    revisions: frozenset[int] = frozenset()

    def match(self, mod_rev: int) -> bool:
        """Tell whether a key with this revision (0: no key) is among them."""
        return mod_rev != 0 and (self.everything or mod_rev in self.revisions)


class Conditions(msgspec.Struct, frozen=True):
    """The conditions of one request; None: no such header."""

    if_match: Tags | None = None
    if_none_match: Tags | None = None

    def permit(self, mod_rev: int) -> bool:
        """Tell whether they hold for a key with this revision (0: no key)."""
        if self.if_match is not None and not self.if_match.match(mod_rev):
            return False
        return self.if_none_match is None or not self.if_none_match.match(mod_rev)

    def first_guess(self) -> int | None:
        """Return the one revision that would do, or None when the key has to be looked at."""
        if self.if_none_match is not None and self.if_none_match.everything:
            return 0
        if self.if_match is not None and len(self.if_match.revisions) == 1:
            return next(iter(self.if_match.revisions))
        return None

    @property
    def absent(self) -> bool:
        """Whether there are none."""
        return self.if_match is None and self.if_none_match is None


NO_CONDITIONS = Conditions()


def etag(mod_rev: int) -> str:
    """Return a revision as an entity tag."""
    return f'"{mod_rev}"'


def parse_conditions(if_match: Sequence[str], if_none_match: Sequence[str]) -> Conditions:
    """Return what these headers ask for; each may have come several times.

    Raises:
        HttpError: a header is ill-formed: better no answer than to overlook a condition.
    """
    if not if_match and not if_none_match:
        return NO_CONDITIONS
    return Conditions(
        # A weak tag is never equal to another by the strong comparison, which If-Match asks for.
        _parse("If-Match", if_match, weak=False) if if_match else None,
        _parse("If-None-Match", if_none_match, weak=True) if if_none_match else None,
    )


def _parse(name: str, headers: Sequence[str], *, weak: bool) -> Tags:
    whole = ",".join(headers).strip(" \t")
    if whole == "*":
        return Tags(everything=True)
    revisions = set()
    position = 0
    while position < len(whole):
        found = _TAG.match(whole, position)
        if found is None:
            break
        position = found.end()
        if _REVISION.fullmatch(found[2]) and (weak or not found[1]):
            revisions.add(int(found[2]))
    if position < len(whole) or not whole or whole.endswith(","):
        raise HttpError(
            HTTPStatus.BAD_REQUEST, f'{name} is * or a list of entity tags such as "42", "43"'
        )
    return Tags(everything=False, revisions=frozenset(revisions))
