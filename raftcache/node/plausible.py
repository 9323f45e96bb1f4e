"""Whether a message from another node can be one that Raft sends.

The core asserts what follows from its own rules. Bytes from the wire are not bound by them, and
must not be able to end a node; so what no server ever says is told apart before the core sees it.
"""

import msgspec

from ..protocol.peer import SnapshotChunk
from ..raft.configuration import decode_configuration
from ..raft.messages import AppendEntries, Message, ReadIndex, ReadIndexResponse
from ..raft.types import EntryKind

TERM_MAX = 2**62
"""No cluster ever gets there; beyond 64 bits a term could be neither stored nor sent."""
NUMBER_MAX = 2**63
"""The numbers of questions are below this (``raft/follower_reads.py``)."""


def is_plausible_snapshot(chunk: SnapshotChunk) -> bool:
    """Tell whether some leader could have sent this piece of a snapshot."""
    head = chunk.head
    return (
        0 <= head.term <= TERM_MAX
        and 0 < head.last_included_index <= TERM_MAX
        and 0 < head.last_included_term <= head.term
        and 0 <= chunk.offset <= chunk.size_bytes
        and len(chunk.data) <= chunk.size_bytes - chunk.offset
    )


def is_plausible(message: Message) -> bool:
    """Tell whether some server in some state could have sent this."""
    if not 0 <= message.term <= TERM_MAX:
        return False
    if type(message) is ReadIndex or type(message) is ReadIndexResponse:
        return 0 < message.number < NUMBER_MAX
    if type(message) is AppendEntries:
        index, term = message.prev_log_index, message.prev_log_term
        if index < 0 or term < 0:
            return False
        for entry in message.entries:
            index += 1
            if entry.index != index or not term <= entry.term <= message.term:
                return False
            term = entry.term
            if entry.kind is EntryKind.CONFIGURATION and not _is_configuration(entry.data):
                return False
    return True


def _is_configuration(data: bytes) -> bool:
    try:
        return bool(decode_configuration(data).voters)
    except msgspec.DecodeError:
        return False
