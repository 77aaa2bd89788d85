"""Names of models on a TFaaS server: a version in the letters, digits and underscores that it accepts.

It serves what it once loaded under a name from a cache, also after another upload, so that each version gets
a name of its own: `digits` and `1-ab12cd34` make `digits_v1_dab12cd34`. No two versions make the same.
"""

import re
from typing import Final

from mlhub.common.errors import BackendRefusedError

_LONGEST: Final = 240
"""Characters that a folder's name may have, since the server makes one of it."""
_WRITTEN: Final = {"_": "__", "-": "_d", ".": "_p"}
_READ: Final = {written: letter for letter, written in _WRITTEN.items()}
_BETWEEN: Final = "_v"
_PIECE: Final = re.compile(r"_.?|[^_]+", re.DOTALL)


def write(model: str, deployment: str) -> str:
    """Return the name of a version.

    Raises:
        BackendRefusedError: it is too long.
    """
    name = _BETWEEN.join(
        "".join(_WRITTEN.get(letter, letter) for letter in part) for part in (model, deployment)
    )
    if len(name) > _LONGEST:
        raise BackendRefusedError(
            "The names of the model and of its version are too long for TFaaS; choose shorter ones."
        )
    return name


def read(name: str) -> tuple[str, str] | None:
    """Return model and deployment; nothing for a name that is not of the hub's making."""
    parts = [""]
    for piece in _PIECE.findall(name):
        if piece == _BETWEEN:
            parts.append("")
        elif piece.startswith("_"):
            if piece not in _READ:
                return None
            parts[-1] += _READ[piece]
        else:
            parts[-1] += piece
    return (parts[0], parts[1]) if len(parts) == len(("model", "deployment")) and all(parts) else None
