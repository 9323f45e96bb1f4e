"""The tables of requests that wait: each request leaves its place once, and is answered then."""

from raftcache.node.pending import ClientOrigin, Pending, ProposedGroup, ProposedTable
from raftcache.protocol.limits import Limits
from raftcache.protocol.requests import decode_request

FRAME = b'{"op": "incr", "key": "hits"}'


def _pending() -> Pending:
    return Pending(ClientOrigin(0, [b"client", b""]), decode_request(FRAME, Limits()), FRAME, 5_000)


def test_an_applied_entry_frees_those_who_proposed_it() -> None:
    table = ProposedTable()
    pending = _pending()
    table.add(5, ProposedGroup([pending], term=2), 100)

    group = table.take(5, 2)

    assert group is not None
    assert group.slots == [pending]
    assert (len(table), table.bytes, list(table.take_all())) == (0, 0, [])


def test_an_entry_of_another_term_leaves_who_proposed_at_its_index_to_be_answered() -> None:
    """Failure A9: a leader that was replaced can apply its successor's entry at that index.

    That may come in the very turn in which it learns of the successor, before it answers all that
    waited for its own log; whoever is not in the table then never hears anything.
    """
    table = ProposedTable()
    pending = _pending()
    table.add(5, ProposedGroup([pending], term=2), 100)

    assert table.take(5, 3) is None

    assert list(table.take_all()) == [pending]
    assert table.bytes == 0
