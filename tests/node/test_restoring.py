"""While a leader's snapshot is put in force, a follower has no state to read from, and says so."""

from collections.abc import Iterator

import pytest

from orchestrator.simulation.cluster import SimulatedCluster

from .builders import SNAPPY, elected, fill, lose


@pytest.fixture
def restoring() -> Iterator[tuple[SimulatedCluster, str, str]]:
    """A cluster, its leader, and a follower that was cut off and now restores a snapshot."""
    cluster, leader, (_, behind) = elected(profile=SNAPPY)
    fill(cluster, leader, 3)
    cluster.run_until(cluster.is_settled)
    lose(cluster, lambda source, target, _: behind in (source, target))
    fill(cluster, leader, 40)
    cluster.heal()
    cluster.run_until(lambda: is_restoring(cluster, behind))
    yield cluster, leader, behind
    cluster.run_until(lambda: cluster.told[behind, "snapshot_installed"] == 1)
    cluster.run_until(cluster.is_settled)
    assert len(set(cluster.digests().values())) == 1


def is_restoring(cluster: SimulatedCluster, name: str) -> bool:
    keeper = cluster.process(name).server.keeper
    return keeper is not None and keeper.is_restoring


def test_the_former_state_goes_before_the_new_one_is_there(
    restoring: tuple[SimulatedCluster, str, str],
) -> None:
    """Both at once would be twice the memory: 900 MB at a million keys, where 600 are the bound."""
    cluster, _, behind = restoring
    server = cluster.process(behind).server

    assert server.store.key_count == 0
    cluster.run_until(lambda: not is_restoring(cluster, behind))

    assert server.store.key_count == 10


def test_a_local_read_is_refused_and_not_answered_from_nothing(
    restoring: tuple[SimulatedCluster, str, str],
) -> None:
    """`found: false` for a key that was always there would be a lie, however old a read may be."""
    cluster, leader, behind = restoring
    server = cluster.process(behind).server
    call = cluster.request(behind, "get", key=b"key-1", read="local")
    cluster.run_until(lambda: call.done)

    assert is_restoring(cluster, behind)
    assert call.reply["error"] == "overloaded"
    assert call.reply["applied"] == "no"
    assert "is taking over a snapshot" in call.reply["message"]
    assert server.store.key_count == 0
    assert cluster.ask(leader, "get", key=b"key-1")["found"] is True


def test_the_revision_in_replies_does_not_fall_meanwhile(
    restoring: tuple[SimulatedCluster, str, str],
) -> None:
    cluster, _, behind = restoring

    told = cluster.ask(behind, "status")

    assert is_restoring(cluster, behind)
    assert (told["store_rev"], told["applied"], told["caught_up"]) == (3, 0, False)


@pytest.mark.parametrize("fields", [{}, {"at": 0}])
def test_no_digest_of_the_empty_state_is_told_meanwhile(
    restoring: tuple[SimulatedCluster, str, str], fields: dict[str, int]
) -> None:
    """Somebody who compares digests would take this node for one that went astray."""
    cluster, _, behind = restoring

    told = cluster.ask(behind, "hash", **fields)

    assert is_restoring(cluster, behind)
    assert (told["error"], told["applied"]) == ("overloaded", "no")
