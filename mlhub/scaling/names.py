"""Names that those who run processes and those who scale them share."""

from pathlib import Path

from mlhub.common.pool import PoolKind


def program_name(backend: str, kind: PoolKind) -> str:
    """Name the program of a pool, as the plan of one machine and circus know it."""
    return f"server-{backend}" if kind is PoolKind.SERVERS else f"{kind}-{backend}"


def control_endpoint(folder: Path) -> str:
    """Return where circus takes commands, in the folder for sockets."""
    return f"ipc://{folder}/control"
