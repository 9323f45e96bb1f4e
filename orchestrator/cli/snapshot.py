"""`snapshot save` and `snapshot restore`: all data, in one file."""

import argparse
from pathlib import Path

from ..errors import EXIT_OK, UsageError
from ..spec_values import NODES_MAX
from ..units import format_size
from .call import Call
from .options import number
from .verbs import Verb

_SAVE_ONLY = {"force": "force", "timeout": "timeout", "node": "from"}
_RESTORE_ONLY = {"nodes": "nodes", "wipe": "wipe"}


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("save", "restore"), metavar="save|restore")
    parser.add_argument("path", metavar="FILE")
    parser.add_argument("--force", action="store_true", help="save: replace a file that is there")
    parser.add_argument(
        "--timeout", type=number(1, 3_600), metavar="S", help="save: wait so many seconds (60)"
    )
    parser.add_argument(
        "--from", dest="node", metavar="NODE", help="save: what this one has, not the leader"
    )
    parser.add_argument(
        "--nodes", type=number(1, NODES_MAX), metavar="N", help="restore: so many nodes"
    )
    parser.add_argument(
        "--wipe", action="store_true", help="restore: delete the cluster that is here first"
    )


def _run(call: Call) -> int:
    options = call.options
    is_save = options.what == "save"
    for name, option in (_RESTORE_ONLY if is_save else _SAVE_ONLY).items():
        if getattr(options, name):
            raise UsageError(f"--{option} is not for `snapshot {options.what}`")
    return _save(call) if is_save else _restore(call)


def _save(call: Call) -> int:
    from ..snapshots import SAVE_SECONDS, save_snapshot  # noqa: PLC0415 - help is quicker without

    options = call.options
    target = Path(options.path)
    saved = save_snapshot(
        call.paths,
        target,
        node=options.node,
        force=options.force,
        seconds=options.timeout or SAVE_SECONDS,
    )
    held = saved.contents
    call.console.say(
        f"saved {_keys(held.keys)} as of revision {held.revision:,} to {target}: "
        f"{format_size(held.size_bytes)}"
    )
    call.console.say(
        f"  taken by {saved.node} at log index {held.index:,}  ({saved.seconds:.1f} s)"
    )
    if options.node:
        call.console.note(
            f"this is what {options.node} has; what the others acknowledged since may be missing"
        )
    call.console.document(
        file=str(target.absolute()),
        node=saved.node,
        cluster_id=held.cluster_id,
        index=held.index,
        revision=held.revision,
        keys=held.keys,
        bytes=held.size_bytes,
        seconds=round(saved.seconds, 3),
    )
    return EXIT_OK


def _restore(call: Call) -> int:
    from ..snapshots import restore_snapshot  # noqa: PLC0415 - help is quicker without

    options = call.options
    source = Path(options.path)
    restored = restore_snapshot(
        call.paths, source, nodes=options.nodes, wipe=options.wipe, tell=call.console.note
    )
    for warning in restored.warnings:
        call.console.note(f"warning: {warning}")
    state, held = restored.state, restored.contents
    size = len(state.nodes)
    call.console.say(
        f"restored {_keys(held.keys)} as of revision {held.revision:,} into a new cluster, "
        f"'{state.cluster}'"
    )
    call.console.say(
        f"  of {size} node{'s' if size != 1 else ''}, none of which runs yet  "
        f"({restored.seconds:.1f} s)"
    )
    call.console.say("bin/cluster up   starts it")
    call.console.document(
        file=str(source.absolute()),
        cluster=state.cluster,
        cluster_id=state.cluster_id,
        nodes=[node.name for node in state.nodes],
        index=held.index,
        revision=held.revision,
        keys=held.keys,
        warnings=restored.warnings,
        seconds=round(restored.seconds, 3),
    )
    return EXIT_OK


def _keys(count: int) -> str:
    return "1 key" if count == 1 else f"{count:,} keys"


SNAPSHOT = Verb(
    description=(
        "Save all data to a file while the cluster works, or begin a cluster with such a file.\n"
        "A save holds every write that was acknowledged before it. A restore makes a new\n"
        "cluster, of as many nodes as you like; its revisions go on above the saved one. All\n"
        "of the file is checked before anything is made or deleted."
    ),
    examples=(
        "  bin/cluster snapshot save monday.snapshot\n"
        "  bin/cluster snapshot restore monday.snapshot --nodes 5 && bin/cluster up\n"
        "  bin/cluster snapshot restore monday.snapshot --wipe   deletes what is there"
    ),
    configure=_configure,
    run=_run,
)
