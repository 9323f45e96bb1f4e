"""The operations that a node answers by itself: ``ping``, ``status``, ``members``, ``hash``, admin.

Administration is taken on a socket of its own, whose folder's permissions are its authentication.
"""

from typing import TYPE_CHECKING

from ..errors import RaftCacheError
from ..protocol.replies import hash_fields, ping_fields
from ..storage.snapshots import StoredSnapshot
from .answers import UNKNOWN
from .faults import answer_fault_operation
from .membership import MEMBER_OPS
from .pending import TRANSFER_OP, Pending
from .requests import WAITING_MAX
from .status import members_fields, status_fields

if TYPE_CHECKING:
    from .server import Server


LEADER_OPS = MEMBER_OPS | {TRANSFER_OP}
"""What is asked about the cluster, not about one node: who does not lead hands it on."""


def administer(server: "Server", pending: Pending) -> None:
    """Do what the leader is asked about the cluster. Assumes that this node leads."""
    if pending.request.op == TRANSFER_OP:
        server.transfers.take(pending)
    else:
        server.membership.take(pending)


def answer_node_operation(server: "Server", pending: Pending) -> None:
    """Answer at once, or let a ``hash`` wait for its index.

    Assumes that administration came by its own socket.
    """
    match pending.request.op:
        case "ping":
            server.answers.result(pending, ping_fields(server.about.build, server.about.cluster))
        case "status":
            server.answers.result(pending, status_fields(server))
        case "members":
            server.answers.result(pending, members_fields(server))
        case "hash":
            _hash(server, pending)
        case "snapshot" if server.keeper is not None:
            _snapshot(server, pending)
        case "fault_set" | "fault_clear" | "fault_list":
            answer_fault_operation(server, pending)
        case op:
            server.answers.refuse(
                pending, "unsupported", f"`{op}` does not exist in this version yet"
            )


def _hash(server: "Server", pending: Pending) -> None:
    """Answer with the state's digest, now or as it was at the index that is asked for."""
    store = server.store
    at = pending.request.arguments.get("at")
    if not at and server.keeper is not None and server.keeper.is_restoring:
        server.desk.refuse_overloaded(pending, "is taking over a snapshot")
        return
    if at is not None and at > store.last_applied:
        if pending.deadline_ms > server.now_ms:
            if len(server.hash_waiting) < WAITING_MAX:
                server.hash_waiting.append(pending)
            else:
                server.desk.refuse_overloaded(pending)
        else:
            server.answers.refuse(
                pending,
                "timeout",
                f"index {at} is not applied here yet, but {store.last_applied}: ask again later",
                applied="no",
            )
        return
    index = store.last_applied if at is None else at
    digest = store.digest_at(index)
    if digest is None:
        server.answers.refuse(
            pending, "compacted", f"the digest at index {index} is not kept any more: ask without"
        )
    else:
        server.answers.result(pending, hash_fields(digest, index))


def expire_snapshots(server: "Server", message: str, *, all_of_them: bool = False) -> None:
    """Answer those who have waited long enough for a snapshot; it may be finished all the same."""
    for pending in list(server.snapshot_waiting):
        if all_of_them or pending.deadline_ms <= server.now_ms:
            server.snapshot_waiting.remove(pending)
            server.answers.refuse(pending, "timeout", message, applied=UNKNOWN)


def _snapshot(server: "Server", pending: Pending) -> None:
    """Take a snapshot now; answer once it is durable, with the file it is in."""
    assert server.keeper is not None, "the caller asked"
    if len(server.snapshot_waiting) >= WAITING_MAX:
        server.desk.refuse_overloaded(pending)
        return

    def done(outcome: StoredSnapshot | RaftCacheError) -> None:
        if pending not in server.snapshot_waiting:
            return  # Its time was up.
        server.snapshot_waiting.remove(pending)
        if isinstance(outcome, RaftCacheError):
            server.answers.refuse(pending, "conflict", f"no snapshot was taken: {outcome}")
        else:
            meta = outcome.meta
            server.answers.result(
                pending,
                {
                    "path": outcome.path,
                    "bytes": outcome.size_bytes,
                    "index": meta.last_included_index,
                    "snapshot_rev": meta.store_rev,
                },
            )

    server.snapshot_waiting.append(pending)
    server.keeper.snapshots.wait_for_one(done)
