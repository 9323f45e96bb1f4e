"""From one configuration to the next, as values: what is asked for twice is done once."""

import pytest

from raftcache.node import plans
from raftcache.node.plans import Newcomer, PlanRefused
from raftcache.protocol.joining import JoinRequest
from raftcache.raft.configuration import Configuration, Member, bootstrap_configuration


def member(number: int) -> Member:
    return Member(
        f"n{number}#1", f"n{number}", 1, f"tcp://h:75{number:02}", f"tcp://h:74{number:02}"
    )


def newcomer(number: int) -> Newcomer:
    return Newcomer(f"n{number}", f"tcp://h:75{number:02}", f"tcp://h:74{number:02}")


def request(number: int, claim: str) -> JoinRequest:
    one = newcomer(number)
    return JoinRequest("c", one.node_id, 0, claim, one.peer_endpoint, one.client_endpoint)


THREE = bootstrap_configuration((member(1), member(2), member(3)))


def changed(
    present: Configuration, *add: Newcomer, remove: tuple[str, ...] = (), promote: bool = True
) -> Configuration:
    """Return what a change leads to; asked for once more, it leads nowhere."""
    target = plans.change(present, add, remove, promote=promote)
    assert target is not None
    gone = [one for one in remove if target.member(one) is not None]
    assert plans.change(target, add, gone, promote=promote) is None
    return target


def test_a_newcomer_learns_under_the_next_incarnation() -> None:
    target = changed(THREE, newcomer(4))

    assert target.voters == THREE.voters
    assert target.learners == ("n4#2",)
    assert plans.next_promotion(target) == 2
    assert plans.promotion(target, 2).voters == ("n1#1", "n2#1", "n3#1", "n4#2")


def test_a_learner_that_stays_one_has_no_plan() -> None:
    target = changed(THREE, newcomer(4), promote=False)

    assert plans.next_promotion(target) == 0
    later = changed(target, newcomer(4))
    assert plans.promotion(later, plans.next_promotion(later)).learners == ()


def test_with_nobody_to_wait_for_a_voter_goes_at_once() -> None:
    target = changed(THREE, remove=("n2#1",))

    assert target.voters == ("n1#1", "n3#1")
    assert [one.node_id for one in target.members] == ["n1", "n3"]


def test_a_voter_waits_for_its_successor() -> None:
    target = changed(THREE, newcomer(4), remove=("n2#1",))

    assert target.voters == THREE.voters
    assert plans.promotion(target, plans.next_promotion(target)).voters == ("n1#1", "n3#1", "n4#2")


def test_who_comes_together_is_promoted_together() -> None:
    target = changed(THREE, newcomer(4), newcomer(5), remove=("n1#1", "n2#1", "n3#1"))
    number = plans.next_promotion(target)

    assert [one.node_id for one in plans.learners_of(target, number)] == ["n4", "n5"]
    done = plans.promotion(target, number)
    assert (done.voters, done.learners) == (("n4#2", "n5#3"), ())
    assert {one.change for one in done.members} == {0}
    assert done.incarnation_mark == 3


def test_plans_are_carried_out_one_after_the_other() -> None:
    first = changed(THREE, newcomer(4))
    second = changed(first, newcomer(5))
    number = plans.next_promotion(second)

    after = plans.promotion(second, number)

    assert after.voters[-1] == "n4#2"
    assert [one.node_id for one in plans.learners_of(after, plans.next_promotion(after))] == ["n5"]


def test_a_plan_that_waits_for_nobody_is_dropped() -> None:
    """Else the voter would leave without the successor it was to have."""
    planned = changed(THREE, newcomer(4), remove=("n2#1",))

    target = changed(planned, remove=("n4#2",))

    assert {one.change for one in target.members} == {0}
    assert target.voters == THREE.voters
    assert target.incarnation_mark == 2


def test_incarnations_are_never_given_twice() -> None:
    """Failure C9."""
    gone = changed(changed(THREE, newcomer(4)), remove=("n4#2",))

    assert changed(gone, newcomer(4)).learners == ("n4#3",)


def test_a_place_belongs_to_the_process_that_took_it() -> None:
    """Another life of the same node has lost what this one promised (failure C10)."""
    planned = changed(THREE, newcomer(4))

    granted = plans.grant(planned, request(4, "a"))
    assert granted is not None
    assert plans.grant(granted, request(4, "a")) is None
    again = plans.grant(granted, request(4, "b"))

    assert again is not None
    assert again.learners == ("n4#3",)
    newest = plans.newest_of(again, "n4")
    assert newest is not None
    assert (newest.claim, newest.change) == ("b", 2)


def test_a_voter_without_its_state_is_succeeded_by_itself() -> None:
    granted = plans.grant(THREE, request(2, "a"))

    assert granted is not None
    assert (granted.voters, granted.learners) == (THREE.voters, ("n2#2",))
    done = plans.promotion(granted, plans.next_promotion(granted))
    assert done.voters == ("n1#1", "n2#2", "n3#1")


@pytest.mark.parametrize(
    ("add", "remove", "says"),
    [
        ([], ["n1#1", "n2#1", "n3#1"], "nobody would vote any more"),
        ([newcomer(4), newcomer(4)], [], "added twice"),
        ([newcomer(4)._replace(node_id="n#4")], [], "is no name of a node"),
        ([newcomer(4)._replace(peer_endpoint="ipc://x")], [], "is no endpoint"),
        ([newcomer(4)._replace(client_endpoint="tcp://h:70000")], [], "is no endpoint"),
        ([newcomer(4)._replace(peer_endpoint="tcp://h:7501")], [], "is where n1 listens"),
        (
            [newcomer(2)._replace(peer_endpoint="tcp://h:9999")],
            [],
            "n2 is a member at tcp://h:7502",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(add: list[Newcomer], remove: list[str], says: str) -> None:
    with pytest.raises(PlanRefused, match=says):
        plans.change(THREE, add, remove)
