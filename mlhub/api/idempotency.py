"""The `Idempotency-Key` header: a repeat of a request that was accepted gets the first answer.

Source: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/.
"""

import hashlib
import re
from typing import Final

import falcon.asgi

from mlhub.common.errors import MalformedError

_LONGEST: Final = 255
_KEY: Final = re.compile(rf"[\x21-\x7e]{{1,{_LONGEST}}}")


def key_of(req: falcon.asgi.Request) -> str | None:
    """Return a digest of the request's key and of who sends it, so that nobody meets another's keys.

    Raises:
        MalformedError: the key is empty, too long, or has characters that are not visible ASCII.
    """
    key = req.get_header("Idempotency-Key")
    if key is None:
        return None
    if _KEY.fullmatch(key) is None:
        raise MalformedError(
            f"An Idempotency-Key has 1 to {_LONGEST} visible ASCII characters; a UUID is a good one.",
            code="bad_idempotency_key",
        )
    owner = req.get_header("Authorization") or ""
    return hashlib.blake2b(f"{owner}\0{key}".encode(), digest_size=24).hexdigest()
