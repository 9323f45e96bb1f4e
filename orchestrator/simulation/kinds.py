"""Every kind of fault that strikes, by the name that profiles use."""

from types import MappingProxyType
from typing import Final

from . import (
    kinds_of_cluster,
    kinds_of_directory,
    kinds_of_disk,
    kinds_of_link,
    kinds_of_member,
    kinds_of_office,
    kinds_of_process,
)
from .faults import Kind

GROUPS: Final[MappingProxyType[str, MappingProxyType[str, Kind]]] = MappingProxyType(
    {
        "process": kinds_of_process.KINDS,
        "link": kinds_of_link.KINDS,
        "office": kinds_of_office.KINDS,
        "disk": kinds_of_disk.KINDS,
        "directory": kinds_of_directory.KINDS,
        "member": kinds_of_member.KINDS,
        "cluster": kinds_of_cluster.KINDS,
    }
)
KINDS: Final[MappingProxyType[str, Kind]] = MappingProxyType(
    {name: kind for group in GROUPS.values() for name, kind in group.items()}
)
COMPANIONS: Final[MappingProxyType[str, tuple[str, ...]]] = MappingProxyType(
    {"revive": ("lose_state", "lose_state")}
)
"""What must go wrong as well for some kinds to find anything to strike."""
