"""Every kind of fault that strikes, by the name that profiles use."""

from types import MappingProxyType
from typing import Final

from . import kinds_of_cluster, kinds_of_disk, kinds_of_link, kinds_of_member, kinds_of_process
from .faults import Kind

GROUPS: Final[MappingProxyType[str, MappingProxyType[str, Kind]]] = MappingProxyType(
    {
        "process": kinds_of_process.KINDS,
        "link": kinds_of_link.KINDS,
        "disk": kinds_of_disk.KINDS,
        "member": kinds_of_member.KINDS,
        "cluster": kinds_of_cluster.KINDS,
    }
)
KINDS: Final[MappingProxyType[str, Kind]] = MappingProxyType(
    {name: kind for group in GROUPS.values() for name, kind in group.items()}
)
