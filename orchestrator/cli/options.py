"""Values of options, as argparse wants them read."""

import argparse
from collections.abc import Callable


def number(low: int, high: int) -> Callable[[str], int]:
    """Return a reader of whole numbers."""

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"'{text[:20]}' is not a number from {low} to {high}")
        return int(text)

    return parse
