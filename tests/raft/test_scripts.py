"""The interaction scripts still tell the truth; ``REWRITE=1`` writes what happens now."""

import os
from pathlib import Path

import pytest

from .script_runner import Script, scripts


@pytest.mark.parametrize("path", scripts(), ids=lambda path: path.stem)
def test_what_happens_is_what_the_script_says(path: Path) -> None:
    """Each script shows one exchange of the paper, every transition of it."""
    text = path.read_text()

    happened = Script().render(text)

    if os.environ.get("REWRITE") == "1":
        path.write_text(happened)
    else:
        assert happened == text, f"{path.name}; if this is right: REWRITE=1 bin/test tests/raft"


def test_there_are_scripts() -> None:
    """An empty directory would pass too."""
    assert len(scripts()) >= 31
