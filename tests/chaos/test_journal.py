"""The journal of a run: everything once, in the order of time."""

import io
import json

from orchestrator.chaos.journal import Journal


def test_what_comes_later_than_it_is_held_for_is_put_in_its_place_at_the_end() -> None:
    """A busy host delivers a node's events when those of others are written already."""
    file = io.BytesIO()
    journal = Journal([], file)
    journal.add(5, "fault")
    journal.stop()

    journal.add(3, "role")
    journal.add(4, "role")
    journal.stop()

    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [(line["t_ms"], line["kind"]) for line in lines] == [
        (3, "role"),
        (4, "role"),
        (5, "fault"),
    ]
