"""Who takes part in Raft: a value in the log from the start (§6, thesis chapter 4).

A configuration is *joint* while ``voters_outgoing`` is not empty: elections and commitment then
need a majority of both sets (§6). ``membership`` changes it; every rule asks this value.
"""

import msgspec

from .types import ServerId

DIGITS_MAX = 18
"""Longer numbers in a server id, which may come from the wire, are not read."""


class Member(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One server of a configuration, with what others need to reach it.

    A returning name gets a new ``incarnation``, so that a server without its old state can never
    be taken for its former self. Endpoints are ZeroMQ endpoints such as ``tcp://127.0.0.1:7501``.
    """

    server_id: ServerId
    node_id: str
    incarnation: int
    peer_endpoint: str
    client_endpoint: str
    claim: str = ""
    """What the one process that may live under this incarnation has drawn by lot, when it asked to
    join; "": nobody has yet, or the cluster began with this member."""
    change: int = 0
    """The planned change, by number, with which this learner becomes a voter, or this voter leaves;
    0: none. The leader makes it once all its learners have caught up."""


class Configuration(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A set of voters, perhaps joint with the set it replaces, and learners.

    All tuples are sorted, so that loops over them are deterministic.
    """

    voters: tuple[ServerId, ...]
    voters_outgoing: tuple[ServerId, ...] = ()
    learners: tuple[ServerId, ...] = ()
    members: tuple[Member, ...] = ()
    incarnation_mark: int = 0
    """The highest incarnation given since the cluster began, gone members included; only rises.
    0: none was; ``highest_incarnation`` has those of the beginning too."""

    @property
    def is_joint(self) -> bool:
        """Tell whether two sets of voters decide together (§6)."""
        return bool(self.voters_outgoing)

    def is_voter(self, server_id: ServerId) -> bool:
        """Tell whether ``server_id`` votes, in either half of a joint configuration."""
        return server_id in self.voters or server_id in self.voters_outgoing

    def takes_part(self, server_id: ServerId) -> bool:
        """Tell whether ``server_id`` replicates the log, voting or not."""
        return self.is_voter(server_id) or server_id in self.learners

    def everyone(self) -> tuple[ServerId, ...]:
        """Return all servers that replicate the log, sorted."""
        return tuple(sorted({*self.voters, *self.voters_outgoing, *self.learners}))

    def highest_incarnation(self) -> int:
        """Return the highest incarnation known to have been given to anybody."""
        known = (member.incarnation for member in self.members)
        return max(self.incarnation_mark, *known, 0)

    def member(self, server_id: ServerId) -> Member | None:
        """Return the member with this id, or None for a stranger."""
        for member in self.members:
            if member.server_id == server_id:
                return member
        return None

    def describe(self) -> dict[str, str]:
        """Return the servers in few words, for the trace."""
        parts = {
            "voters": self.voters,
            "outgoing": self.voters_outgoing,
            "learners": self.learners,
        }
        return {name: ",".join(servers) for name, servers in parts.items() if servers}


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Configuration)


def encode_configuration(configuration: Configuration) -> bytes:
    """Encode a configuration for a log entry's ``data``."""
    return _encoder.encode(configuration)


def decode_configuration(data: bytes) -> Configuration:
    """Decode a log entry's ``data``.

    Raises:
        msgspec.DecodeError: the bytes are no configuration; the log is damaged.
    """
    return _decoder.decode(data)


def server_id_of(node_id: str, incarnation: int) -> ServerId:
    """Return the id under which Raft knows this incarnation of a node."""
    return f"{node_id}#{incarnation}"


def incarnation_of(server_id: ServerId) -> int:
    """Return the incarnation within a server id; 0 when there is none."""
    digits = server_id.partition("#")[2]
    return int(digits) if digits.isdecimal() and len(digits) < DIGITS_MAX else 0


def bootstrap_configuration(members: tuple[Member, ...]) -> Configuration:
    """Return the configuration with which a new cluster begins: all members vote."""
    ordered = tuple(sorted(members, key=lambda member: member.server_id))
    return Configuration(
        voters=tuple(member.server_id for member in ordered),
        members=ordered,
    )
