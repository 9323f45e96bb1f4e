"""A gateway process: settings, a client, a socket, until a signal.

Exit codes: 0 stopped; 70 a defect, or the parent is gone; 78 the settings or the address can't be
used, so that starting again would change nothing.
"""

import asyncio
import gc
import logging
import resource
import signal
import sys

import msgspec

from ..parent import ParentWatch
from .gateway import Gateway
from .settings import Settings, SettingsError, read_settings

EXIT_DEFECT = 70
EXIT_REFUSED = 78

OWN_FILE_DESCRIPTORS = 100
PARENT_CHECK_SECONDS = 1.0

_log = logging.getLogger("raftcache.gateway")


def main(arguments: list[str], parent: ParentWatch) -> int:
    """Run a gateway with the settings in the file that is named; return the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m raftcache.gateway SETTINGS.json\n")
        return EXIT_REFUSED
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    try:
        settings = read_settings(arguments[0])
        _raise_file_limit(settings.connections + OWN_FILE_DESCRIPTORS)
        asyncio.run(serve(settings, parent, arguments[0]))
    except SettingsError as error:
        _log.error("%s", error)
        return EXIT_REFUSED
    except Exception:  # noqa: BLE001 - the last line of defence: told in the log, then the end
        _log.exception("a defect in Raft Cache ends this gateway")
        return EXIT_DEFECT
    return 0


async def serve(settings: Settings, parent: ParentWatch, path: str) -> None:
    """Serve until a signal asks to stop; go by the nodes that ``path`` names at any moment."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Gateway(settings) as gateway:
        _log.info("the gateway listens at http://%s:%d", settings.host, gateway.port)
        gc.collect()
        gc.freeze()  # What was imported stays; the collector need not look at it again.
        while not stop.is_set():
            parent.check()
            settings = _renewed(settings, path, gateway)
            try:
                await asyncio.wait_for(stop.wait(), PARENT_CHECK_SECONDS)
            except TimeoutError:
                continue
    _log.info("the gateway stopped")


def _renewed(settings: Settings, path: str, gateway: Gateway) -> Settings:
    """Take over which nodes there are; all else is for the next start."""
    try:
        nodes = read_settings(path).nodes
    except SettingsError as error:
        _log.debug("the nodes of before stay in use: %s", error)
        return settings
    if nodes == settings.nodes:
        return settings
    gateway.use_nodes(nodes)
    _log.info("the nodes are %s now", ", ".join(node.id for node in nodes))
    return msgspec.structs.replace(settings, nodes=nodes)


def _raise_file_limit(needed: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise SettingsError(
            f"`connections` needs {needed} file descriptors, but this user may have {hard}: lower"
            " it, or raise the limit with `ulimit -Hn`"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
