"""`down`: end the cluster, and prove it."""

import argparse
from typing import TYPE_CHECKING

from ..errors import EXIT_CHECK_FAILED, EXIT_OK
from .call import Call
from .console import Console
from .verbs import Verb

if TYPE_CHECKING:
    from ..teardown import Ended


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--wipe", action="store_true", help="delete its data and logs as well")


def _run(call: Call) -> int:
    from ..memory import will_forget  # noqa: PLC0415 - `up --help` is quicker without
    from ..teardown import take_down  # noqa: PLC0415 - likewise

    if will_forget(call.paths):
        call.console.note("warning: durability: memory keeps nothing: all data goes with the nodes")
    ended = take_down(call.paths, wipe=call.options.wipe)
    report_end(call.console, ended)
    return EXIT_OK if ended.proof.holds else EXIT_CHECK_FAILED


def report_end(console: Console, ended: "Ended") -> None:
    """Say what was ended, and whether anything is left."""
    proof = ended.proof
    nodes = f"{ended.stopped + ended.killed} node{'' if ended.stopped + ended.killed == 1 else 's'}"
    killed = f", {ended.killed} of them by force" if ended.killed else ""
    did = "nothing was running" if nodes == "0 nodes" else f"{nodes} ended{killed}"
    if proof.holds:
        console.say(
            f"down: {did}; no process, no port and no socket is left  ({ended.seconds:.1f} s)"
        )
    else:
        console.say(f"NOT down: {did}, but this is left:")
        for leftover in proof.leftovers:
            console.say(f"  {leftover}")
    if ended.wiped:
        console.say("its data and logs are deleted")
    console.document(
        ok=proof.holds,
        stopped=ended.stopped,
        killed=ended.killed,
        wiped=ended.wiped,
        left={"processes": proof.processes, "ports": proof.ports, "sockets": proof.sockets},
        seconds=round(ended.seconds, 3),
    )


DOWN = Verb(
    description=(
        "End every node in order, then supervisord, then look: no process that carries this\n"
        "run's id, no bound port, no socket. Exit code 1 if anything is left. Data stay."
    ),
    examples="  bin/cluster down\n  bin/cluster down --wipe    and forget all of it",
    configure=_configure,
    run=_run,
)
