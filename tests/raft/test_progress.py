"""What a leader knows of one follower, as tables (Figure 2, §5.3)."""

from collections import deque

import pytest

from raftcache.raft.options import Options
from raftcache.raft.progress import Progress, ProgressState

PROBE, REPLICATE = ProgressState.PROBE, ProgressState.REPLICATE


@pytest.mark.parametrize(
    ("before", "acknowledged", "state", "next_index", "match_index"),
    [
        (Progress(next_index=5), 4, REPLICATE, 5, 4),
        (Progress(next_index=5), 2, REPLICATE, 3, 2),
        (Progress(next_index=9, match_index=4, state=REPLICATE), 6, REPLICATE, 9, 6),
        (Progress(next_index=9, match_index=4, state=REPLICATE), 3, REPLICATE, 9, 4),
        (Progress(next_index=5, match_index=4, state=REPLICATE), 8, REPLICATE, 9, 8),
    ],
)
def test_an_acknowledgement_moves_match_index_up_only(
    before: Progress, acknowledged: int, state: ProgressState, next_index: int, match_index: int
) -> None:
    """Figure 2: match_index increases monotonically; a probe that succeeds opens the window."""
    before.on_success(acknowledged)

    assert (before.state, before.next_index, before.match_index) == (state, next_index, match_index)


@pytest.mark.parametrize(
    ("before", "guess", "expected"),
    [
        (Progress(next_index=9), 4, 4),
        (Progress(next_index=9, match_index=6, state=REPLICATE), 4, 7),
    ],
)
def test_a_refusal_goes_back_to_probing_but_never_behind_what_matches(
    before: Progress, guess: int, expected: int
) -> None:
    """§5.3; what was under way does not count any more."""
    before.inflight, before.inflight_bytes = deque([(8, 10)]), 10

    before.on_rejection(guess)

    assert before == Progress(next_index=expected, match_index=before.match_index)


def test_only_one_probe_is_under_way() -> None:
    """Until it is known where the logs agree, more would be wasted."""
    progress = Progress(next_index=5)

    progress.on_sent(7, 100)

    assert not progress.may_send(Options())
    assert progress.next_index == 5, "a probe may have been in vain"


def test_the_window_moves_with_the_acknowledgements() -> None:
    """What is acknowledged makes room, in messages and in bytes."""
    progress = Progress(next_index=5, match_index=4, state=REPLICATE)
    options = Options(inflight_messages_max=2, inflight_bytes_max=100)

    progress.on_sent(6, 40)
    assert progress.may_send(options)
    progress.on_sent(8, 40)
    assert not progress.may_send(options)

    progress.on_success(6)
    assert progress.may_send(options)
    assert list(progress.inflight) == [(8, 40)]
    assert progress.inflight_bytes == 40
