"""Sizes and durations as people write them: ``16MiB``, ``50ms``. No number goes without a unit."""

import re

_DURATIONS_MS = {"ms": 1.0, "s": 1_000.0, "m": 60_000.0, "h": 3_600_000.0}
_SIZES = {
    "B": 1,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
    "kB": 1000,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
}
_MEANT_DURATIONS = {"ms": "ms", "mil": "ms", "s": "s", "m": "m", "h": "h"}
_MEANT_SIZES = {"b": "B", "k": "KiB", "m": "MiB", "g": "GiB"}
_NUMBER_AND_UNIT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)", re.ASCII)
_DIGITS_MAX = 20


def parse_duration_ms(text: str) -> int:
    """Return the whole milliseconds that ``text`` says, as in ``50ms``, ``1.5s``, ``2m``.

    Raises:
        ValueError: it is no duration; the message says what one looks like.
    """
    number, unit = _split(text, "a duration such as 50ms, 2s or 5m")
    if not unit:
        raise ValueError(f"{text} of what? Write {text}ms or {text}s")
    if unit not in _DURATIONS_MS:
        raise ValueError(
            f"'{unit}' is no unit of time; {_guess(unit, _MEANT_DURATIONS)}use ms, s, m or h"
        )
    milliseconds = float(number) * _DURATIONS_MS[unit]
    if milliseconds != int(milliseconds):
        raise ValueError(f"{text} is finer than a millisecond")
    return int(milliseconds)


def parse_size_bytes(text: str) -> int:
    """Return the bytes that ``text`` says, as in ``16MiB``.

    Raises:
        ValueError: it is no size; the message says what one looks like.
    """
    number, unit = _split(text, "a size such as 64KiB, 16MiB or 1GiB")
    if not unit:
        raise ValueError(f"{text} of what? Write {text}B, {text}KiB or {text}MiB")
    if unit not in _SIZES:
        raise ValueError(
            f"'{unit}' is no unit of size; {_guess(unit, _MEANT_SIZES)}use B, KiB, MiB or GiB"
        )
    size = float(number) * _SIZES[unit]
    if size != int(size):
        raise ValueError(f"{text} is not a whole number of bytes")
    return int(size)


def format_size(size: int) -> str:
    """Return a size in the largest unit that keeps it readable."""
    for unit in ("GiB", "MiB", "KiB"):
        if size >= _SIZES[unit]:
            return f"{size / _SIZES[unit]:.1f}".removesuffix(".0") + unit
    return f"{size}B"


def format_duration(milliseconds: float) -> str:
    """Return a duration in the unit a person would use."""
    if milliseconds < 1_000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 120_000:
        return f"{milliseconds / 1_000:.1f} s"
    if milliseconds < 7_200_000:
        return f"{milliseconds / 60_000:.0f} min"
    return f"{milliseconds / 3_600_000:.1f} h"


def _split(text: str, example: str) -> tuple[str, str]:
    found = _NUMBER_AND_UNIT.fullmatch(text.strip())
    if found is None or len(found[1]) > _DIGITS_MAX:
        raise ValueError(f"'{_shorten(text)}' is not {example}")
    return found[1], found[2]


def _guess(unit: str, meant: dict[str, str]) -> str:
    """Return the question whether another unit was meant, if it begins like one."""
    found = next((known for start, known in meant.items() if unit.lower().startswith(start)), None)
    return f"did you mean {found}? " if found else ""


def _shorten(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
