"""`lock`: a command that runs while a lock of the cluster is held.

The lock is the client library's. The command is told of its fence, so that what it writes with it
is refused once another holds the lock, whatever this process believes.
"""

import argparse
import shlex
import signal
import subprocess
import time
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..errors import EXIT_TRY_AGAIN, NoCluster, TryAgain, UsageError
from ..state import ClusterState, load_existing
from ..units import parse_duration_ms
from .call import Call
from .command import ENDPOINTS, EXIT_SIGNALLED, end_command, lookup, start_command
from .console import Console
from .status import seconds_of
from .verbs import Verb

if TYPE_CHECKING:
    from raftcache.client import Client
    from raftcache.client.recipes import Held

FENCE_KEY, FENCE_CREATE_REV = "RAFTCACHE_FENCE_KEY", "RAFTCACHE_FENCE_CREATE_REV"
TTL_MS = 15_000
TTL_MS_MIN = 1_000
_TURN_SECONDS = 0.05
_ENDINGS = (signal.SIGTERM, signal.SIGHUP)


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the lock; no slash")
    parser.add_argument(
        "--ttl",
        type=_ttl_ms,
        default=TTL_MS,
        metavar="15s",
        help="so long it stays locked if this process dies or the cluster is out of reach",
    )
    parser.add_argument(
        "--wait", type=seconds_of, metavar="10s", help="for the lock, at most; without: for ever"
    )
    parser.add_argument(
        "--delay",
        type=seconds_of,
        default=0.0,
        metavar="5s",
        help="wait so much more if the holder before died; the same for all who use the name",
    )
    parser.add_argument("command", nargs="*", metavar="CMD", help="after --, with its arguments")


def _ttl_ms(text: str) -> int:
    try:
        milliseconds = parse_duration_ms(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}") from None
    if milliseconds < TTL_MS_MIN:
        raise argparse.ArgumentTypeError("less than a second would be lost at every hitch")
    return milliseconds


def _run(call: Call) -> int:
    options, console = call.options, call.console
    if not options.command:
        raise UsageError("which command?", hint="bin/cluster lock NAME -- CMD ARGUMENTS")
    if not options.name or "/" in options.name:
        raise UsageError("a lock's name has at least one character, and no slash")
    found = lookup(console, options.command[0])
    if found:
        return found

    from raftcache.client import Client, RequestError  # noqa: PLC0415 - the help page is quicker
    from raftcache.client.recipes import Lock  # noqa: PLC0415 - likewise

    _let_signals_end_it()
    state = load_existing(call.paths)
    endpoints = [node.client for node in state.nodes]
    with Client(endpoints, session_ttl=options.ttl / 1_000) as client:
        try:
            _check_cluster(client, state)
            lock = Lock(client, options.name, delay=options.delay)
            held = lock.acquire(options.wait)
        except RequestError as error:
            raise TryAgain(f"the lock was not got: {error}", hint="bin/cluster status") from error
        if held is None:
            console.error("locked", f"{options.name} is held by others", "", EXIT_TRY_AGAIN)
            return EXIT_TRY_AGAIN
        began = time.monotonic()
        try:
            code = _perform(console, held, options.command, endpoints)
            lost = held.lost
        finally:
            _release(lock, held)
    console.document(
        ok=code == 0 and not lost,
        command=options.command,
        exit_code=code,
        lost=lost,
        fence={"key": held.fence.key.decode(), "create_rev": held.fence.create_rev},
        seconds=round(time.monotonic() - began, 3),
    )
    return code


def _check_cluster(client: "Client[bytes]", state: ClusterState) -> None:
    """See that it is this cluster that answers: while it is down another may have its ports."""
    answered = client.status().get("cluster_id")
    if answered != state.cluster_id:
        raise NoCluster(
            "another cluster answers at this one's ports",
            hint="bin/cluster up   needs these ports; others: `base_port` in cluster.yaml",
        )


def _perform(console: Console, held: "Held", command: list[str], endpoints: list[str]) -> int:
    """Run the command; warn when the lease is at risk, and end the command when it is lost."""
    environment = {
        ENDPOINTS: ",".join(endpoints),
        FENCE_KEY: held.fence.key.decode(),
        FENCE_CREATE_REV: str(held.fence.create_rev),
    }
    child, held_back = start_command(console, command, environment)
    warned = False
    try:
        held_back.let_go()
        while (code := _wait(child)) is None:
            if held.lost:
                console.note(f"the lock is lost: ending {shlex.join(command)[:60]}")
                code = end_command(child)
                break
            if held.at_risk is not warned:
                warned = held.at_risk
                seconds = held.remaining
                console.note(
                    f"the cluster does not answer: the lock is lost in {seconds:.1f} s"
                    if warned
                    else "the cluster answers again: the lock was held all the time"
                )
    except BaseException as error:
        for number in (signal.SIGINT, *_ENDINGS):
            signal.signal(number, signal.SIG_IGN)  # or the command outlives the lock
        code = end_command(child)
        if not isinstance(error, KeyboardInterrupt):
            raise
    return code if code >= 0 else EXIT_SIGNALLED - code


def _let_signals_end_it() -> None:
    """Let a plain kill or a closed terminal end all in order: the command first, then the lock.

    Otherwise the command would run on while its lock goes to the next one. What is ignored, as
    under nohup, stays so.
    """
    for number in _ENDINGS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


def _wait(child: "subprocess.Popen[bytes]") -> int | None:
    try:
        return child.wait(_TURN_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _release(lock: Any, held: "Held") -> None:
    from raftcache.client import RequestError  # noqa: PLC0415 - see above

    try:
        lock.release(held)
    except RequestError:
        return  # the session ends with this process, and the lock with it


LOCK = Verb(
    description=(
        "Run a command while a lock of the cluster is held, by one process at a time and in the"
        " order of coming. The exit code is the command's. The command knows the lock's fence from"
        " RAFTCACHE_FENCE_KEY and RAFTCACHE_FENCE_CREATE_REV: a write with it is refused once"
        " another holds the lock. If the cluster stays out of reach you are warned after two thirds"
        " of --ttl; after all of it, and where this process is ended, the command gets SIGTERM, and"
        " 5 s later SIGKILL. Only kill -9 leaves it without its lock."
    ),
    examples=(
        "  bin/cluster lock nightly -- ./backup.sh\n"
        "  bin/cluster lock nightly --wait 10s -- ./backup.sh   # 75: it is held\n"
        "  bin/cluster lock deploy --ttl 60s --delay 10s -- make deploy"
    ),
    configure=_configure,
    run=_run,
)
