"""`/model/{name}/card` and `/citation`: what readers of a model's page want besides its entry."""

import asyncio
from typing import Final

import falcon.asgi

from mlhub.api.citation import BIBTEX, CFF, bibtex, cff, citation_of
from mlhub.api.responses import Encoded, send_encoded
from mlhub.api.services.models import ModelService
from mlhub.common.errors import NotFoundError
from mlhub.common.names import LATEST
from mlhub.storage.cards import CardStore

_TYPES: Final = {
    BIBTEX: (BIBTEX, bibtex),
    "text/x-bibtex": (BIBTEX, bibtex),
    "text/plain": ("text/plain", bibtex),
    CFF: (CFF, cff),
    "application/x-yaml": (CFF, cff),
    "text/yaml": (CFF, cff),
    "application/vnd.citation-file-format+yaml": (CFF, cff),
}
"""What a client may accept, what it is called then, and what writes it."""


class CardResource:
    """The README of a version's bundle."""

    def __init__(self, models: ModelService, cards: CardStore) -> None:
        self._models = models
        self._cards = cards

    async def on_get(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str, version: str | None = None
    ) -> None:
        """Send it as Markdown; of the latest version unless another is named."""
        wanted = version or req.get_param("version") or LATEST
        text = await asyncio.to_thread(self._text, name, wanted)
        # Whatever is in it: browsers show text, and run none of it.
        resp.set_header("X-Content-Type-Options", "nosniff")
        send_encoded(req, resp, Encoded.of(text.encode()), "text/markdown; charset=utf-8")

    def _text(self, name: str, version: str) -> str:
        found = self._models.bundle(name, version)
        text = self._cards.get(found.deployment) if found.card else None
        if text is None:
            raise NotFoundError(
                f"Version {found.version!r} of {name!r} has no card; put a README.md into its bundle.",
                code="card_not_found",
            )
        return text


class CitationResource:
    """How to cite a model."""

    def __init__(self, models: ModelService) -> None:
        self._models = models

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        """Send BibTeX, or the Citation File Format where that is preferred.

        Raises:
            HTTPNotAcceptable: the client takes neither.
        """
        entry = await asyncio.to_thread(self._models.get, name)
        preferred = req.client_prefers(list(_TYPES))
        if preferred is None:
            raise falcon.HTTPNotAcceptable(
                description=f"A citation comes as {BIBTEX} or {CFF}; accept one of them."
            )
        media_type, write = _TYPES[preferred]
        cited = citation_of(entry.model, f"{req.prefix}/model/{name}")
        resp.append_header("Vary", "Accept")
        send_encoded(req, resp, Encoded.of(write(cited).encode()), f"{media_type}; charset=utf-8")
