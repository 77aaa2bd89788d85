"""The PyTorch runtime: exported programs and TorchScript; weights and graphs, never a pickled module."""

import os
from pathlib import Path
from typing import Final

import torch

from mlhub.servers import artefact, description, exported, torchscript
from mlhub.servers.artefact import UNREADABLE
from mlhub.servers.graph import GraphModel
from mlhub.servers.options import RuntimeOptions
from mlhub.servers.torchtensor import choose_device

_LOADERS: Final = {".pt2": exported.load, ".pt": torchscript.load}
"""What loads each kind of file."""


class PyTorchRuntime:
    """Loads models that PyTorch has saved without their Python code."""

    platform = "pytorch"

    def __init__(self, options: RuntimeOptions) -> None:
        # What is loaded has no pickles that PyTorch reads; should one slip through, it may only hold weights.
        os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
        torch.set_num_threads(options.threads)
        self._limit = options.max_memory
        self._device = choose_device(options.device)

    def load(self, folder: Path) -> GraphModel:
        """Load the one model file in `folder`.

        Raises:
            UnacceptableError: there is none, there are several, or it cannot be loaded.
        """
        path = artefact.the_one(artefact.files(folder, _LOADERS), "*.pt2 or *.pt file")
        declared = description.read(folder).signature
        try:
            return _LOADERS[path.suffix](path, self._device, declared, self._limit)
        except UNREADABLE as error:
            raise artefact.unreadable(path, error) from error
