"""From words on a command line to a verb carried out, or to a sentence that says why not."""

import argparse
import difflib
import importlib
import sys
import tempfile
import textwrap
import traceback
from pathlib import Path
from typing import Any, NoReturn

from ..errors import (
    EXIT_DEFECT,
    EXIT_USAGE,
    OrchestratorError,
    UsageError,
)
from .call import Call
from .console import PROGRAM, Console, localised
from .verbs import COMES_LATER, ENTRIES, GROUPS, SETTLES_FIRST, TAKES_COMMAND, Entry, Verb


def run(arguments: list[str]) -> int:
    """Carry out what the command line says; return the exit code."""
    leading, verb, rest = _split(arguments)
    console = Console(
        verb or "help", as_json="--json" in leading or "--json" in _before_dashes(rest)
    )
    try:
        if verb is None or verb == "help":
            return _help(leading, rest, asked=verb is not None or bool(_ASKS & {*leading}))
        entry = _find(verb)
        module = importlib.import_module(f".{entry.module}", __package__)
        found: Verb = getattr(module, verb.upper())
        own, command = _split_command(rest) if verb in TAKES_COMMAND else (rest, [])
        options = _parser(verb, entry.usage, found).parse_args([*leading, *own])
        if command:
            options.command = command
        call = Call(options, console)
        if verb in SETTLES_FIRST:
            _settle(call)
        code = found.run(call)
    except OrchestratorError as error:
        console.error(error.code, error.message, error.hint, error.exit_code)
        return error.exit_code
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the last line of defence before a user's eyes
        if isinstance(error.__cause__, KeyboardInterrupt):  # some imports wrap whatever comes
            raise error.__cause__ from None
        place = _record_defect(arguments)
        message = f"a defect of our own ({type(error).__name__}: {error})"
        console.error("defect", message, f"details: {place}", EXIT_DEFECT)
        return EXIT_DEFECT
    return code


def _settle(call: Call) -> None:
    """Finish or undo what a command that was killed has left, if there is anything."""
    from ..state import load  # noqa: PLC0415 - the help pages are quicker without

    state = load(call.paths)
    if state is not None and state.change is not None:
        from ..resize import settle_unfinished  # noqa: PLC0415 - hardly ever needed

        settle_unfinished(call.paths, call.console.note)


_ASKS = {"-h", "--help"}
"""Words that ask for the help page."""
_HELP_COLUMNS = 79


class _Parser(argparse.ArgumentParser):
    """argparse, but an error is ours to report, with our exit code."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"{self.prog} --help")


def _parser(verb: str, usage: str, found: Verb) -> _Parser:
    parser = _Parser(
        prog=f"{PROGRAM} {verb}",
        usage=f"{PROGRAM} {usage} [options]",
        description=textwrap.fill(localised(found.description), _HELP_COLUMNS),
        epilog=localised(f"examples:\n{found.examples}"),
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    common = parser.add_argument_group("options of every verb")
    common.add_argument("--file", metavar="cluster.yaml", help="default: the nearest one upward")
    common.add_argument("--state", metavar="DIR", help="default: .cluster beside cluster.yaml")
    common.add_argument("--json", action="store_true", help="one JSON document on stdout")
    found.configure(parser)
    return parser


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help pages that fit any terminal, examples as they were written."""

    def __init__(self, prog: str, **settings: Any) -> None:
        super().__init__(prog, **{**settings, "width": _HELP_COLUMNS, "max_help_position": 26})


def _split(arguments: list[str]) -> tuple[list[str], str | None, list[str]]:
    """Split options before the verb, the verb, and what follows it."""
    leading: list[str] = []
    rest = list(arguments)
    while rest and rest[0].startswith("-") and rest[0] != "--":
        leading.append(rest.pop(0))
        if leading[-1] in {"--file", "--state"} and rest:
            leading.append(rest.pop(0))
    return (leading, rest[0], rest[1:]) if rest else (leading, None, [])


def _split_command(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Split a verb's own arguments from the command after the dashes."""
    own = _before_dashes(arguments)
    return own, arguments[len(own) + 1 :]


def _before_dashes(arguments: list[str]) -> list[str]:
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def _help(leading: list[str], rest: list[str], *, asked: bool) -> int:
    if "--version" in leading:
        import raftcache  # noqa: PLC0415 - only for its version

        sys.stdout.write(f"raftcache {raftcache.__version__}\n")
        return 0
    if leading and not asked:
        raise UsageError("a verb is missing", hint=f"{PROGRAM} --help")
    if rest and rest[0] in ENTRIES:
        return run([rest[0], "--help"])
    (sys.stdout if asked else sys.stderr).write(_page())
    return 0 if asked else EXIT_USAGE


def _page() -> str:
    lines = [
        f"usage: {PROGRAM} [--file cluster.yaml] [--state DIR] [--json] VERB ...",
        "",
        "A strongly consistent, replicated cache on this host, and ways to break it.",
        "",
        f"  {PROGRAM} up                      start three nodes",
        f"  {PROGRAM} set greeting hello      write",
        f"  {PROGRAM} kill leader             see who takes over, and how fast",
        f"  {PROGRAM} get greeting            it is all still there",
    ]
    for group, entries in GROUPS.items():
        lines += ["", f"{group}:"]
        lines += [f"  {entry.usage:<18} {entry.summary}" for entry in entries.values()]
    lines += [
        "",
        "NODES is a name (n1), several (n1,n3), or: leader, old-leader, followers,",
        "one-follower, one, random(2), minority, majority, all, down, paused.",
        "",
        "exit codes: 0 done; 1 degraded, not found, or a check failed; 2 unknown whether",
        "a write happened; 64 usage; 69 no cluster or no quorum; 75 try again, nothing",
        "was done; 78 bad configuration.",
        "",
        f"{PROGRAM} VERB --help says more about each, with examples.",
        "",
    ]
    return "\n".join(lines)


def _find(verb: str) -> Entry:
    if verb in ENTRIES:
        return ENTRIES[verb]
    if verb in COMES_LATER:
        raise UsageError(f"'{verb}' comes later: {COMES_LATER[verb]}", hint=f"{PROGRAM} --help")
    near = difflib.get_close_matches(verb[:40].lower(), ENTRIES, n=1)
    guess = f"; did you mean '{near[0]}'?" if near else ""
    raise UsageError(f"there is no verb '{verb[:40]}'{guess}", hint=f"{PROGRAM} --help")


def _record_defect(arguments: list[str]) -> Path:
    """Write the traceback where a person can find it, and not on their screen."""
    text = f"arguments: {arguments}\n{traceback.format_exc()}\n"
    try:
        from ..paths import locate  # noqa: PLC0415 - it may be what failed

        place = locate(None, None).defects
        with place.open("a") as file:
            file.write(text)
    except Exception:  # noqa: BLE001 - then somewhere else
        with tempfile.NamedTemporaryFile(
            "w", prefix="raftcache-", suffix=".log", delete=False
        ) as file:
            file.write(text)
            place = Path(file.name)
    return place
