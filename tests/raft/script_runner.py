"""Interaction scripts: commands to a few cores, and every transition that follows, as text.

A script is a text file. Lines with ``#`` say what to watch; a line with ``>`` is a command; all
other lines are what happened: the cores' trace in its one line format, and the messages
(``->`` under way, ``-x`` lost). Nothing happens by itself: without a command no time passes, no
message arrives and no disk finishes.

==========================  ====================================================================
``cluster NAME…``           Start servers. ``NAME:1,1,2@3`` has a log with these terms, in term 3.
``timeout NAME``            Let time pass at one server until its election timeout (20 ticks).
``wait N``                  Let N ticks pass at all servers (10 end stickiness).
``settle``                  Let disks finish and messages arrive, until nothing is left to do.
``deliver A B [N]``         Deliver the N (1) oldest messages from A to B.
``repeat A B``              Double the oldest message from A to B; the copy is the last to arrive.
``lose A B``                Lose all messages under way from A to B.
``disk NAME [N]``           Let a server's disk finish what it was handed, or the N oldest units.
``cut A B``, ``heal``       From now on what A sends to B is lost; nothing is any more.
``isolate NAME``            Cut all links of a server.
``crash NAME``              Kill a server; what its disk has not finished is lost.
``restart NAME``            Start it again, with what its disk has.
``propose NAME DATA``       Propose a command.
``read NAME WORD``          Ask for a linearizable read.
``transfer A B``            Let A hand its leadership to B.
``join NAME…``              Start servers with empty disks, which wait to be made members.
``change NAME A,B [C,D]``   Let a leader change to voters A and B and learners C and D.
``members``                 Say who is what, by each server's own configuration.
``snapshot NAME [N]``       Let a server take a snapshot, and keep the last N (0) entries before it.
``send-snapshots NAME``     Let a leader send its snapshot to all who need one.
``install NAME``            Let a server put the oldest snapshot that came in in force.
``part A,B C,D…``           Mend all links, then cut those between the groups.
``one-by-one``              From now on a message holds one entry.
``majority-first``          From now on entries go to a majority first, and not to all at once.
``window N``                From now on N messages with entries may be unanswered, per follower.
``logs``                    Draw the logs, a term per entry; ``|`` follows what is committed, ``-``
                            stands for what only a snapshot holds.
``quietly COMMAND``         The same, without the trace.
==========================  ====================================================================
"""

from collections.abc import Callable
from itertools import permutations, product
from pathlib import Path
from random import Random

from raftcache.raft.membership import ChangeRefused
from raftcache.raft.messages import (
    AppendEntries,
    AppendEntriesResponse,
    InstallSnapshot,
    InstallSnapshotResponse,
    Message,
    PreVote,
    PreVoteResponse,
    RequestVote,
    RequestVoteResponse,
    TimeoutNow,
)
from raftcache.raft.options import Options
from raftcache.raft.trace import TraceEvent, format_event
from raftcache.raft.types import Entry, HardState, ServerId

from .builders import log_of
from .disk import Disk
from .members import conf
from .network import Network
from .server import Server

OPTIONS = Options(heartbeat_ticks=5, election_ticks_min=10, election_ticks_max=20)


class _Longest(Random):
    """Draws the longest election timeout, so that only the script decides who times out."""

    def randint(self, a: int, b: int) -> int:
        """Return the upper end."""
        return max(a, b)


class ScriptNetwork(Network):
    """A network that writes down what happens."""

    def __init__(self, servers: dict[ServerId, Disk]) -> None:
        self.out: list[str] = []
        self.reads_seen: dict[ServerId, tuple[int, int]] = {}
        self.loud = True
        options = Options(
            heartbeat_ticks=OPTIONS.heartbeat_ticks,
            election_ticks_min=OPTIONS.election_ticks_min,
            election_ticks_max=OPTIONS.election_ticks_max,
            majority_first=False,  # As in the paper, whose exchanges most scripts are.
        )
        super().__init__(options=options, servers=servers, random=_Longest(1))

    def say(self, line: str) -> None:
        """Write a line, unless the command is a quiet one."""
        if self.loud:
            self.out.append(line)

    def on_trace(self, event: TraceEvent) -> None:
        """Write down a transition."""
        super().on_trace(event)
        self.say(format_event(event))

    def send(self, messages: list[Message]) -> None:
        """Write down what leaves, and whether it is lost at once."""
        for message in messages:
            lost = (message.source, message.target) in self.cut
            self.say(format_message(message, lost=lost))
        super().send(messages)

    def tell_reads(self) -> None:
        """Write down which reads were released or refused since the last time."""
        for name, server in sorted(self.servers.items()):
            released, refused = self.reads_seen.get(name, (0, 0))
            for index, context in server.reads[released:]:
                self.say(f"{name} released read {context} at index {index}")
            for context in server.refused[refused:]:
                self.say(f"{name} refused read {context}")
            self.reads_seen[name] = (len(server.reads), len(server.refused))


class Script:
    """The interpreter of one script."""

    def __init__(self) -> None:
        self.network = ScriptNetwork({"n1": Disk()})

    def render(self, text: str) -> str:
        """Return the script with what really happens below each command."""
        lines: list[str] = []
        for line in text.splitlines():
            if line.startswith(">"):
                lines += [line, *self.run(line[1:].split())]
            elif line.startswith("#") or not line:
                lines.append(line)
        return "\n".join(lines) + "\n"

    def run(self, words: list[str]) -> list[str]:
        """Perform one command; return what happened."""
        network = self.network
        network.loud = words[0] != "quietly"
        if not network.loud:
            words = words[1:]
        name = words[0].replace("-", "_")
        command: Callable[..., None] = getattr(self, f"do_{name}")
        command(*words[1:])
        network = self.network
        network.tell_reads()
        out, network.out = network.out, []
        return out

    def do_cluster(self, *names: str) -> None:
        """Start servers."""
        disks = dict(map(_disk_of, names))
        self.network = ScriptNetwork(disks)

    def do_timeout(self, name: ServerId) -> None:
        """Let time pass at one server until its election timeout."""
        state = self.server(name).raft.state
        for _ in range(state.election_timeout_ticks - state.election_ticks):
            self.server(name).work(lambda raft: raft.tick())

    def do_wait(self, ticks: str) -> None:
        """Let time pass at all servers; messages stay under way."""
        for _ in range(int(ticks)):
            for name in sorted(self.network.servers):
                self.server(name).work(lambda raft: raft.tick())

    def do_settle(self) -> None:
        """Let disks finish and messages arrive."""
        self.network.settle()

    def do_deliver(self, source: ServerId, target: ServerId, count: str = "1") -> None:
        """Deliver the oldest messages of a link."""
        for _ in range(int(count)):
            self.network.deliver(self._oldest(source, target))

    def do_repeat(self, source: ServerId, target: ServerId) -> None:
        """Double the oldest message of a link."""
        self.network.in_flight.append(self.network.in_flight[self._oldest(source, target)])

    def do_lose(self, source: ServerId, target: ServerId) -> None:
        """Lose what is under way on a link."""
        self.network.in_flight[:] = [
            one for one in self.network.in_flight if (one.source, one.target) != (source, target)
        ]

    def do_disk(self, name: ServerId, count: str = "all") -> None:
        """Let a disk finish everything, or so many units."""
        left = None if count == "all" else int(count)
        while self.server(name).disk.queue and left != 0:
            self.server(name).persist_one()
            left = None if left is None else left - 1

    def do_cut(self, source: ServerId, target: ServerId) -> None:
        """Cut one direction of a link."""
        self.network.cut.add((source, target))

    def do_isolate(self, name: ServerId) -> None:
        """Cut all links of a server."""
        self.network.isolate(name)

    def do_heal(self) -> None:
        """Mend all links."""
        self.network.heal()

    def do_crash(self, name: ServerId) -> None:
        """Kill a server."""
        self.network.crash(name)
        self.network.reads_seen.pop(name, None)

    def do_restart(self, name: ServerId) -> None:
        """Start a dead server."""
        self.network.restart(name)

    def do_propose(self, name: ServerId, data: str) -> None:
        """Propose a command."""
        self.network.propose(name, data.encode())

    def do_read(self, name: ServerId, context: str) -> None:
        """Ask for a read."""
        self.server(name).read(context)

    def do_transfer(self, source: ServerId, target: ServerId) -> None:
        """Hand the leadership over."""
        self.server(source).work(lambda raft: raft.transfer_leadership(target))

    def do_join(self, *names: ServerId) -> None:
        """Start servers with empty disks."""
        for name in names:
            self.network.join(name)

    def do_change(self, name: ServerId, voters: str, learners: str = "") -> None:
        """Begin a configuration change, or say why it is refused."""
        target = conf(voters.replace(",", " "), learners=learners.replace(",", " "))
        try:
            self.network.change(name, target)
        except ChangeRefused as refused:
            self.network.say(f"{name} refused change: {refused.reason}")

    def do_members(self) -> None:
        """Say who takes part."""
        for name, server in sorted(self.network.servers.items()):
            index, configuration = server.raft.state.configurations[-1]
            committed = "committed" if index <= server.raft.state.commit_index else "uncommitted"
            parts = [f"{kind}={names}" for kind, names in configuration.describe().items()]
            self.network.say(" ".join([f"{name:7} {index} {committed}", *parts]))

    def do_snapshot(self, name: ServerId, keep: str = "0") -> None:
        """Take a snapshot."""
        self.server(name).take_snapshot(keep=int(keep))

    def do_send_snapshots(self, name: ServerId) -> None:
        """Send the snapshot to those who need it."""
        self.server(name).send_snapshots()

    def do_install(self, name: ServerId) -> None:
        """Install what came in."""
        self.server(name).install_arrived()

    def do_part(self, *groups: str) -> None:
        """Cut the links between groups of servers."""
        self.network.heal()
        for one, other in permutations(groups, 2):
            self.network.cut |= set(product(one.split(","), other.split(",")))

    def do_one_by_one(self) -> None:
        """Let a message hold one entry."""
        self.network.options.append_bytes_max = 1

    def do_majority_first(self) -> None:
        """Let entries go to a majority first."""
        self.network.options.majority_first = True

    def do_window(self, count: str) -> None:
        """Bound what may be unanswered."""
        self.network.options.inflight_messages_max = int(count)

    def do_logs(self) -> None:
        """Draw the logs."""
        servers = self.network.servers
        longest = max(server.raft.state.log.last_index for server in servers.values())
        numbers = "".join(f"{index:>3} " for index in range(1, longest + 1))
        self.network.say(f"{'':8}{numbers}".rstrip())
        for name, server in sorted(servers.items()):
            state = server.raft.state
            base = state.log.base_index
            kept = {entry.index: entry.term for entry in state.log.entries}
            terms = "".join(
                f"{kept.get(index, '-'):>3}{'|' if index == state.commit_index else ' '}"
                for index in range(1, base + len(kept) + 1)
            )
            self.network.say(f"{name:8}{terms}".rstrip())

    def _oldest(self, source: ServerId, target: ServerId) -> int:
        return next(
            position
            for position, one in enumerate(self.network.in_flight)
            if (one.source, one.target) == (source, target)
        )

    def server(self, name: ServerId) -> Server:
        """Return a running server."""
        return self.network.servers[name]


def format_message(message: Message, *, lost: bool) -> str:
    """Return a message as one line, such as ``n1@4 -> n2 PreVote for=5 last=3@2``."""
    arrow = "-x" if lost else "->"
    kind = type(message).__name__
    route = f"{message.source}@{message.term} {arrow} {message.target}"
    return f"{route} {kind} {_fields(message)}".rstrip()


def _fields(message: Message) -> str:
    match message:
        case PreVote():
            last = f"{message.last_log_index}@{message.last_log_term}"
            return f"for={message.candidate_term} last={last}"
        case RequestVote():
            transfer = " transfer" if message.leadership_transfer else ""
            return f"last={message.last_log_index}@{message.last_log_term}{transfer}"
        case PreVoteResponse() | RequestVoteResponse():
            return "granted" if message.vote_granted else f"refused: {message.reason}"
        case AppendEntries():
            return _append_fields(message)
        case AppendEntriesResponse():
            return _answer_fields(message)
        case InstallSnapshot():
            return f"up-to={message.last_included_index}@{message.last_included_term}"
        case InstallSnapshotResponse():
            return f"match={message.match_index}"
        case TimeoutNow():
            return ""
        case _:
            return repr(message)


def _append_fields(message: AppendEntries) -> str:
    parts = [f"prev={message.prev_log_index}@{message.prev_log_term}"]
    if message.entries:
        parts.append(f"entries={_span(message.entries)}")
    parts.append(f"commit={message.leader_commit}")
    if message.read_round:
        parts.append(f"round={message.read_round}")
    return " ".join(parts)


def _answer_fields(message: AppendEntriesResponse) -> str:
    if message.success:
        said = f"match={message.match_index}"
    else:
        said = f"refused prev={message.prev_log_index}"
        if message.conflict_index:
            said += f" conflict={message.conflict_index}@{message.conflict_term}"
    return said + (f" round={message.read_round}" if message.read_round else "")


def _span(entries: tuple[Entry, ...]) -> str:
    return "[" + " ".join(f"{entry.index}@{entry.term}" for entry in entries) + "]"


def _disk_of(word: str) -> tuple[ServerId, Disk]:
    name, _, rest = word.partition(":")
    log, _, term = rest.partition("@")
    terms = [int(digits) for digits in log.split(",") if digits]
    current_term = int(term) if term else max((0, *terms))
    return name, Disk(hard_state=HardState(current_term), entries=list(log_of(*terms)))


def scripts() -> list[Path]:
    """Return all scripts, in order."""
    return sorted((Path(__file__).parent / "scripts").glob("*.txt"))
