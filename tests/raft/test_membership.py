"""Configuration changes (§6, thesis chapter 4), one core at a time: how they begin and end."""

import pytest

from raftcache.raft.configuration import (
    Configuration,
    Member,
    decode_configuration,
    encode_configuration,
)
from raftcache.raft.core import Raft
from raftcache.raft.membership import ChangeRefused
from raftcache.raft.messages import AppendEntries
from raftcache.raft.types import EntryKind

from .builders import core, of, success, tick, turn
from .members import conf, everybody_has_all, leader, seated


def newest(raft: Raft) -> Configuration:
    """Return the configuration in the last entry of the log, as a disk would give it back."""
    last = raft.state.log.entries[-1]
    assert last.kind is EntryKind.CONFIGURATION
    return decode_configuration(last.data)


def refusal(raft: Raft, target: Configuration) -> str:
    """Return why a change is refused; nothing is appended then."""
    before = list(raft.state.log.entries)
    with pytest.raises(ChangeRefused) as refused:
        raft.change_configuration(target)
    assert raft.state.log.entries == before
    return refused.value.reason


def test_other_voters_go_through_a_joint_configuration() -> None:
    """§6: first both sets together; neither half alone decides anything."""
    raft = seated()

    index = raft.change_configuration(conf("n1 n2 n4"))

    assert index == 2
    assert newest(raft) == conf("n1 n2 n4", outgoing="n1 n2 n3")
    assert raft.change_in_progress


def test_a_change_of_learners_alone_is_one_entry() -> None:
    """Thesis §4.2.1: they count for nothing, so no majority changes."""
    raft = seated()

    raft.change_configuration(conf("n1 n2 n3", learners="n4"))
    everybody_has_all(raft)

    assert newest(raft) == conf("n1 n2 n3", learners="n4")
    assert not raft.change_in_progress


def test_a_configuration_is_in_force_before_it_is_committed() -> None:
    """§6: a server uses the latest configuration in its log, committed or not."""
    raft = seated()

    raft.change_configuration(conf("n1 n2 n3", learners="n4"))
    out = turn(raft)

    assert raft.state.configuration.learners == ("n4",)
    assert {message.target for message in of(out, AppendEntries)} == {"n2", "n3", "n4"}


def test_the_new_configuration_follows_once_the_joint_one_is_committed() -> None:
    """§6, Figure 11: from then on the new voters can decide alone; nobody has to ask for it."""
    raft = seated()
    raft.change_configuration(conf("n1 n4 n5"))

    everybody_has_all(raft, "n2", "n3")
    before = newest(raft)
    everybody_has_all(raft, "n4")

    assert before.is_joint, "a majority of the old voters alone commits nothing"
    assert newest(raft) == conf("n1 n4 n5")
    assert raft.state.commit_index == 2
    assert raft.change_in_progress


def test_the_change_is_complete_when_the_new_configuration_is_committed() -> None:
    """§6: by the new voters alone; those that left are not asked."""
    raft = seated()
    raft.change_configuration(conf("n1 n4 n5"))
    everybody_has_all(raft, "n2", "n4")

    everybody_has_all(raft, "n5")

    assert raft.state.commit_index == 3
    assert not raft.change_in_progress


def test_progress_begins_and_ends_with_membership() -> None:
    """Who comes is sent the entry that names it; who is gone gets nothing more (failure C17)."""
    raft = seated()
    known = raft.state.progress["n2"]

    raft.change_configuration(conf("n1 n2 n4"))
    joint = sorted(raft.state.progress)
    fresh = raft.state.progress["n4"].next_index
    everybody_has_all(raft)
    turn(raft, success("n3", term=1, match_index=2))

    assert (joint, fresh) == (["n2", "n3", "n4"], 2)
    assert sorted(raft.state.progress) == ["n2", "n4"]
    assert raft.state.progress["n2"] is known


def test_no_change_before_an_entry_of_the_own_term_is_committed() -> None:
    """Else leaders of two terms change side by side (Ongaro's note of 2015; failure C1)."""
    raft = leader(1)

    assert "of this leader's term is committed" in refusal(raft, conf("n1 n2"))

    everybody_has_all(raft)
    assert raft.change_configuration(conf("n1 n2")) == 3


def test_one_change_at_a_time() -> None:
    """Thesis §4.1; not while it is uncommitted, and not while it is joint (failure C3)."""
    raft = seated()
    raft.change_configuration(conf("n1 n2 n3 n4"))

    uncommitted = refusal(raft, conf("n1 n2 n3 n5"))
    everybody_has_all(raft)
    final_uncommitted = refusal(raft, conf("n1 n2 n3 n5"))
    everybody_has_all(raft)

    assert "another change is under way" in uncommitted
    assert "another change is under way" in final_uncommitted
    assert raft.change_configuration(conf("n1 n2 n3 n5")) == 4


def test_only_a_leader_changes_the_configuration() -> None:
    """Thesis §4.1."""
    assert "does not lead" in refusal(core("n1"), conf("n1"))


def test_no_change_while_the_leadership_is_handed_over() -> None:
    """Thesis §3.10: nothing is appended that the successor would have to catch up on (C15)."""
    raft = seated()
    raft.transfer_leadership("n2")

    assert "handed to n2" in refusal(raft, conf("n1 n2"))


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (conf("", learners="n1"), "nobody would vote"),
        (conf("n1 n2", learners="n2 n3"), "n2 can't be voter and learner at once"),
    ],
)
def test_an_unsound_configuration_is_refused(target: Configuration, reason: str) -> None:
    """It would be in force at once, and could not be taken back."""
    assert reason in refusal(seated(), target)


def test_the_joint_configuration_is_not_left_while_the_leadership_is_handed_over() -> None:
    """The successor leaves it: it was told to campaign with the log as it is (failure C15)."""
    raft = seated()
    raft.change_configuration(conf("n1 n2 n4"))
    raft.transfer_leadership("n2")

    everybody_has_all(raft)
    handing_over = newest(raft)
    tick(raft, 3)
    everybody_has_all(raft)
    tick(raft, 3)  # An election timeout: the transfer is given up.

    assert handing_over.is_joint
    assert newest(raft) == conf("n1 n2 n4")


def test_a_later_leader_leaves_the_joint_configuration() -> None:
    """§6: whoever leads when it is committed; here the new leader's no-op commits it."""
    raft = leader(1, conf("n1 n2 n4", outgoing="n1 n2 n3"))
    assert raft.state.configuration.is_joint

    everybody_has_all(raft)

    assert [item.kind.name for item in raft.state.log.entries[1:]] == [
        "CONFIGURATION",
        "NOOP",
        "CONFIGURATION",
    ]
    assert newest(raft) == conf("n1 n2 n4")


def test_a_voter_becomes_a_learner_when_the_joint_configuration_is_left() -> None:
    """Until then its vote counts among the old voters (failure C18)."""
    raft = seated()
    raft.change_configuration(conf("n1 n2", learners="n3"))
    joint = newest(raft)

    everybody_has_all(raft)

    assert joint == conf("n1 n2", outgoing="n1 n2 n3", learners="n3")
    assert joint.is_voter("n3")
    assert newest(raft) == conf("n1 n2", learners="n3")
    assert sorted(raft.state.progress) == ["n2", "n3"]


def test_members_are_named_as_long_as_somebody_has_to_reach_them() -> None:
    """A voter that leaves is talked to until the joint configuration is left."""
    names = ("n1", "n2", "n3", "n4")
    n1, n2, n3, n4 = (Member(f"{name}#1", name, 1, f"p-{name}", f"c-{name}") for name in names)
    began_with = Configuration(("n1#1", "n2#1", "n3#1"), members=(n1, n2, n3))
    raft = leader(name="n1#1", began_with=began_with)
    everybody_has_all(raft)

    raft.change_configuration(Configuration(("n4#1", "n2#1", "n1#1"), members=(n4, n1, n2)))
    joint = newest(raft)
    everybody_has_all(raft)

    assert joint.members == (n1, n2, n3, n4)
    assert joint.voters == ("n1#1", "n2#1", "n4#1")
    assert newest(raft).members == (n1, n2, n4)


def test_the_mark_of_incarnations_never_falls() -> None:
    """One that was given once is never given again (failures C9, C10)."""
    raft = seated()
    raft.change_configuration(conf("n1 n2 n3", mark=7))
    everybody_has_all(raft)

    raft.change_configuration(conf("n1 n2"))
    joint = newest(raft)
    everybody_has_all(raft)

    assert (joint.incarnation_mark, newest(raft).incarnation_mark) == (7, 7)


def test_a_configuration_written_before_there_was_a_mark_is_read() -> None:
    """Identity files, logs and snapshots of older versions hold such (failure E15)."""
    old = encode_configuration(conf("n1 n2"))[:-1]
    old = bytes([old[0] - 1]) + old[1:]  # An array of one element less.

    assert decode_configuration(old) == conf("n1 n2")
