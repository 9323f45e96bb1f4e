"""``demo``: a failover on a cluster of its own, told line by line."""

import argparse
import sys

import msgspec

from .call import Call
from .verbs import Verb


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--explain", action="store_true", help="name the rule of the Raft paper behind each line"
    )


def _run(call: Call) -> int:
    from ..demo.perform import perform  # noqa: PLC0415 - the help page needs none of it

    console = call.console
    done = perform(
        None if console.as_json else sys.stdout,
        explain=call.options.explain,
        colour=console.paint("x", "dim") != "x",
    )
    report = done.report
    fields = msgspec.to_builtins(report)
    fields |= fields.pop("verdict")
    lines = [{"at_ms": line.at_ms, "text": line.text, "rule": line.rule} for line in done.lines]
    console.document(
        ok=report.is_good,
        **fields,
        verdict=report.sentence,
        seconds=round(done.seconds, 2),
        lines=lines,
    )
    console.say(f"  {done.seconds:.1f} s in all.")
    return done.exit_code


DEMO = Verb(
    description=(
        "Start three nodes of their own in a temporary folder, let clients write, kill the leader\n"
        "with SIGKILL, tell the election as it happens, start the old leader again, and count:\n"
        "which writes were acknowledged, lost, unknown, and for how long none was possible.\n"
        "Takes about ten seconds, touches no cluster of yours, and leaves nothing behind.\n"
        "Exit code 1 if anything that was acknowledged is lost."
    ),
    examples=(
        "  bin/cluster demo\n"
        "  bin/cluster demo --explain      with the rule of the paper at each line\n"
        "  bin/cluster demo --json         the account, for programs"
    ),
    configure=_configure,
    run=_run,
)
