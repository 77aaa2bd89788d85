"""What the contestants of the comparison are called in tables and charts."""

from typing import Final

HUB: Final = "hub → own server"
HUB_MLSERVER: Final = "hub → MLServer"
OWN: Final = "own server"
MLSERVER: Final = "MLServer"
HTTP: Final = "HTTP alone (no queue, no model)"
KSERVE: Final = "KServe SDK"
KSERVE_2: Final = "KServe SDK, 2 processes"
LITSERVE: Final = "LitServe"
LITSERVE_BATCHING: Final = "LitServe, batching"
BENTOML: Final = "BentoML, batching"

OTHERS: Final = (MLSERVER, KSERVE, LITSERVE, LITSERVE_BATCHING, BENTOML)
"""Servers that are not MLHub's, called directly, each serving the model from one process."""
OTHERS_DOUBLED: Final = (*OTHERS, KSERVE_2)
"""The same, and the one that gains from a second process."""
