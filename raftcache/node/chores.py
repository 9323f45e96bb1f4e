"""What is seldom under way, and only then costs a turn anything.

Changes of members, transfers of the leadership, snapshots and strangers who knock: each begins at a
tick, with a request or with a frame of a peer, whoever takes that says :attr:`Chores.are_due`, and
they stay due for as long as there is anything to go on with.
"""

from typing import TYPE_CHECKING, NamedTuple

from ..raft.types import ServerId
from .outbox import Outgoing
from .sending import Bulk

if TYPE_CHECKING:
    from .server import Server


class Done(NamedTuple):
    """What the chores of one turn have for the sockets; see ``values.Effects``."""

    frames: list[Outgoing]
    bulk: list[Bulk]
    endpoints: dict[ServerId, str] | None


NOTHING = Done([], [], None)


class Chores:
    """Sees to them, for one server."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self.are_due = True
        """Whether this turn has to look; set it wherever one of them may have begun."""

    def answer_members(self) -> None:
        """Answer those whose change of members is complete.

        Before it is looked at who leads: a leader that has removed itself knows that it is done.
        """
        self._server.membership.on_turn()

    def see_to(self) -> Done:
        """Do a turn's share of all of them."""
        server, keeper = self._server, self._server.keeper
        server.transfers.look()
        bulk = keeper.turn() if keeper is not None else []
        self.are_due = (
            server.membership.has_work
            or server.transfers.has_work
            or (keeper is not None and keeper.has_work)
        )
        return Done(server.admission.take(), bulk, server.admission.endpoints())
