"""Sizes and durations as people write them."""

import pytest

from orchestrator.units import format_duration, format_size, parse_duration_ms, parse_size_bytes


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("50ms", 50), ("1s", 1000), ("1.5s", 1500), ("2m", 120_000), ("1h", 3_600_000), (" 3 ms ", 3)],
)
def test_durations(text: str, milliseconds: int) -> None:
    assert parse_duration_ms(text) == milliseconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("1B", 1), ("64KiB", 65_536), ("16MiB", 16 * 1024**2), ("1GiB", 1024**3), ("1kB", 1000)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size_bytes(text) == size


@pytest.mark.parametrize(
    "text", ["", "ms", "-5ms", "1e9s", "٣ms", "9" * 400 + "ms", "5 m s", "nan"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration such as"):
        parse_duration_ms(text)


@pytest.mark.parametrize("text", ["1.5B", "0.3KiB"])
def test_half_a_byte_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a whole number of bytes"):
        parse_size_bytes(text)


@pytest.mark.parametrize(
    ("text", "guess"),
    [("3 sec", "s"), ("5min", "m"), ("50MS", "ms"), ("9 millis", "ms"), ("2hours", "h")],
)
def test_a_unit_of_time_in_other_words_is_guessed(text: str, guess: str) -> None:
    with pytest.raises(ValueError, match=rf"did you mean {guess}\? use ms, s, m or h"):
        parse_duration_ms(text)


@pytest.mark.parametrize(
    ("text", "guess"), [("16Mib", "MiB"), ("16mb", "MiB"), ("4K", "KiB"), ("2gigs", "GiB")]
)
def test_a_unit_of_size_in_other_words_is_guessed(text: str, guess: str) -> None:
    with pytest.raises(ValueError, match=rf"did you mean {guess}\? use B, KiB, MiB or GiB"):
        parse_size_bytes(text)


def test_amounts_are_shown_in_the_unit_one_would_say() -> None:
    assert [format_size(n) for n in (5, 2048, 1_572_864, 1024**3)] == [
        "5B",
        "2KiB",
        "1.5MiB",
        "1GiB",
    ]
    assert [format_duration(n) for n in (7, 1500, 180_000, 7_200_000)] == [
        "7 ms",
        "1.5 s",
        "3 min",
        "2.0 h",
    ]
