"""The cluster that is meant when none is named: RAFTCACHE_ENDPOINTS, or that of this folder."""

import os
from pathlib import Path
from typing import Final

import msgspec

ENDPOINTS_VARIABLE: Final = "RAFTCACHE_ENDPOINTS"
_STATE: Final = Path(".cluster") / "cluster.json"


class _Node(msgspec.Struct):
    client: str


class _Cluster(msgspec.Struct):
    """The part of what ``bin/cluster`` remembers of a cluster that a client needs."""

    nodes: list[_Node]
    run_id: str = ""


class NoLocalCluster(LookupError):  # noqa: N818 - as the errors of the wire: the fact
    """There is no running cluster here; the message says what is missing."""


def local_endpoints(folder: str | Path | None = None) -> tuple[str, ...]:
    """Return the client endpoints of the cluster that runs here.

    They are those of the environment variable RAFTCACHE_ENDPOINTS, which ``bin/cluster run`` sets
    for its command, or else those of the nearest cluster upward from ``folder`` (None: from the
    working directory).

    Raises:
        NoLocalCluster: there is none, or it does not run.
    """
    named = os.environ.get(ENDPOINTS_VARIABLE, "")
    if folder is None and named.strip():
        found = tuple(part.strip() for part in named.split(",") if part.strip())
        if not found:
            raise NoLocalCluster(
                f"{ENDPOINTS_VARIABLE} is {named!r}, which names no node: write it as"
                " tcp://127.0.0.1:7401,tcp://127.0.0.1:7402, or unset it"
            )
        return found
    start = Path.cwd() if folder is None else Path(folder).absolute()
    for parent in (start, *start.parents):
        if (parent / _STATE).is_file():
            return _endpoints_in(parent / _STATE)
    raise NoLocalCluster(
        f"{ENDPOINTS_VARIABLE} is not set, and neither {start} nor a folder above it has a cluster"
        " (.cluster/): start one with  bin/cluster up"
    )


def _endpoints_in(file: Path) -> tuple[str, ...]:
    try:
        found = msgspec.json.decode(file.read_bytes(), type=_Cluster)
    except (OSError, msgspec.MsgspecError) as error:
        raise NoLocalCluster(f"{file} can't be read as a cluster's: {error}") from error
    if not found.run_id:
        raise NoLocalCluster(
            f"the cluster of {file.parent.parent} does not run: start it with  bin/cluster up"
        )
    return tuple(node.client for node in found.nodes)
