"""What all ways in have in common: a body is taken in, becomes a version, and is answered for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import falcon.asgi
import msgspec

from mlhub.api import representation
from mlhub.api.bodies import chunks
from mlhub.api.digests import Digests, mismatch
from mlhub.api.form import Form
from mlhub.api.gateway.gateway import Gateway
from mlhub.api.intake import Intake, coding_of
from mlhub.api.multipart import FormLimits, FormPart
from mlhub.api.preferences import Preferences, preferences
from mlhub.api.responses import send
from mlhub.api.services.models import ModelFields, ModelService
from mlhub.api.services.uploads import Target, Uploaded, UploadService
from mlhub.api.waiting import until
from mlhub.common import topology
from mlhub.common.errors import MalformedError, NotFoundError, UnacceptableError, UnsupportedMediaError
from mlhub.common.model import Version, VersionState
from mlhub.common.settings import Settings
from mlhub.storage.bundles import BundleWriter

_FILES: Final = ("file", "bundle")
"""Names a form's part with the bundle may have."""
_PICTURE: Final = "image"
"""Name of the part of a form that is meant for a prediction."""
_FORM_EXTRA: Final = 16 * 1024 * 1024
"""Bytes a form may have besides its bundle."""
_RAW: Final = frozenset(
    {
        "application/octet-stream",
        "application/gzip",
        "application/x-gzip",
        "application/x-tar",
        "application/x-gtar",
        "application/x-compressed-tar",
        "application/zip",
        "application/x-zip-compressed",
        "application/x-www-form-urlencoded",
    }
)
"""Types of a raw body; the last one is what `curl --data-binary` says unless it is told better."""


class Publication:
    """Takes bundles in and answers with their versions."""

    def __init__(
        self, uploads: UploadService, models: ModelService, gateway: Gateway, settings: Settings
    ) -> None:
        self._uploads = uploads
        self._models = models
        self._gateway = gateway
        self._max_bytes = settings.max_bundle_bytes
        self._max_wait = settings.max_wait
        self._form = FormLimits(
            body=settings.max_bundle_bytes + _FORM_EXTRA, field=settings.max_json_bytes, parts=64
        )

    async def from_body(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, target: Target) -> None:
        """Keep a raw body as a version.

        Raises:
            MLHubError: it cannot be, and nothing is kept.
        """
        kind = (req.content_type or "application/octet-stream").partition(";")[0].strip().lower()
        if kind not in _RAW:
            raise UnsupportedMediaError(
                f"A bundle is sent as a raw body or in a form, not as {kind[:80]}; "
                "use 'content-type: application/octet-stream'."
            )
        prefer = preferences(req, self._max_wait)
        digests = Digests(req.get_header)
        coding = coding_of(req.get_header("Content-Encoding"), self._max_bytes)
        await asyncio.to_thread(self._uploads.check, target)
        async with self.writing() as writer:
            await Intake(writer, digests, coding).take(chunks(req, self._max_bytes))
            if not digests.match():
                raise mismatch()
            uploaded = await asyncio.to_thread(self._uploads.finish, target, writer)
        await self.answer(resp, uploaded, prefer)

    async def from_form(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, target: Target | None
    ) -> None:
        """Keep the file in a form as a version.

        Args:
            req: the request.
            resp: its answer.
            target: where it goes, as far as the address tells; nothing where the field `model` says it.

        Raises:
            MLHubError: it cannot be, and nothing is kept.
        """
        prefer = preferences(req, self._max_wait)
        whole, digests = Digests(req.get_header), Digests(req.get_header)
        if target is not None:
            await asyncio.to_thread(self._uploads.check, target)
        form = Form(req, self._form, whole.update if whole else None)
        async with self.writing() as writer:
            count = 0
            async for part in form.files():
                count += 1
                await self._take_part(part, count, writer, digests)
            if not count:
                raise UnacceptableError(
                    "The form has no bundle: send it as a file in the part 'file'.", code="missing_file"
                )
            # By the letter a form's digest is that of the form; of the file is what people mean.
            if not (digests.match() or whole.match()):
                raise mismatch()
            target = _completed(target, form.fields.result())
            uploaded = await asyncio.to_thread(self._uploads.finish, target, writer)
        await self.answer(resp, uploaded, prefer)

    async def answer(self, resp: falcon.asgi.Response, uploaded: Uploaded, prefer: Preferences) -> None:
        """Have a version validated and answer with it, at once or when that is done.

        Raises:
            UnacceptableError: the client waited, and the version is no good.
        """
        version = uploaded.version
        if not uploaded.created:
            resp.set_header("Location", _address(version))
            send(resp, shown(version))
            return
        await self.announce(version)
        if prefer.wait is not None:
            look = partial(self._models.version, version.model, version.version)
            version = await until(look, _is_validated, prefer.wait)
            await asyncio.to_thread(self._uploads.settle, version.model)
            resp.set_header("Preference-Applied", f"wait={prefer.wait:g}")
            if version.state is VersionState.FAILED:
                await self._refuse(uploaded, version)
        resp.set_header("Location", _address(version))
        send(resp, shown(version), 201 if version.state is VersionState.READY else 202)

    async def announce(self, version: Version) -> None:
        """Tell a job pool of a version that waits for its validation."""
        if version.state is VersionState.VALIDATING and version.backend is not None:
            await self._gateway.publish_job(topology.JOB_VALIDATE, version.deployment, version.backend)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[BundleWriter]:
        """Give a writer of which nothing stays unless it is committed."""
        writer = await asyncio.to_thread(self._uploads.begin)
        try:
            yield writer
        finally:
            await asyncio.to_thread(writer.abort)

    async def _take_part(self, part: FormPart, count: int, writer: BundleWriter, digests: Digests) -> None:
        if part.name == _PICTURE:
            raise NotFoundError("There is no model of that name to predict with.", code="model_not_found")
        if part.name not in _FILES:
            raise UnacceptableError(
                f"The form has a file in the part {part.name!r}; the bundle goes into 'file'.",
                code="unknown_part",
            )
        if count > 1:
            raise UnacceptableError("The form has two files; send one bundle at a time.", code="unknown_part")
        own = Digests(part.header)
        coding = coding_of(part.header("Content-Encoding"), self._max_bytes)
        await Intake(writer, digests, coding).take(_observed(part.pieces(), own))
        if not own.match():
            raise mismatch()

    async def _refuse(self, uploaded: Uploaded, version: Version) -> None:
        for removed in await asyncio.to_thread(self._uploads.undo, uploaded):
            if removed.backend is not None:
                await self._gateway.publish_job(topology.JOB_REMOVE, removed.deployment, removed.backend)
        raise UnacceptableError(
            f"Version {version.version!r} of {version.model!r} is no good: {version.error}",
            code="validation_failed",
        )


def shown(version: Version) -> dict[str, object]:
    """Show a version with its model's name."""
    return {"model": version.model, **representation.version(version)}


async def _observed(pieces: AsyncIterator[bytes], digests: Digests) -> AsyncIterator[bytes]:
    async for piece in pieces:
        digests.update(piece)
        yield piece


def _completed(target: Target | None, fields: ModelFields) -> Target:
    """Add to a target what its form says."""
    named = fields.model if isinstance(fields.model, str) else None
    if target is None:
        if named is None:
            raise UnacceptableError(
                "The form does not say where the bundle goes: give the model's name in the field 'model'.",
                code="missing_field",
            )
        target = Target(model=named, may_create=True)
    if named is not None and named != target.model:
        raise UnacceptableError(
            f"The field 'model' says {named!r}, but the address says {target.model!r}.", code="name_mismatch"
        )
    version = fields.version if isinstance(fields.version, str) else None
    if None not in {version, target.version} and version != target.version:
        raise MalformedError(
            f"The field 'version' says {version!r}, but the address says {target.version!r}.",
            code="name_mismatch",
        )
    return msgspec.structs.replace(target, version=target.version or version, fields=fields)


def _address(version: Version) -> str:
    return f"/model/{version.model}/versions/{version.version}"


def _is_validated(version: Version) -> bool:
    return version.state is not VersionState.VALIDATING
