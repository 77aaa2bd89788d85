"""What is wrong with a text that should be JSON, said to whoever wrote it."""

import codecs
import re
from typing import Final

_NO_NUMBER: Final = re.compile(rb"[\s,:\[](NaN|nan|[-+]?Infinity|[-+]?inf)\b")
_TRUNCATED: Final = "truncated"
"""What msgspec says of a text that ends too early, and of half a surrogate pair."""
_MARKS: Final = (
    (codecs.BOM_UTF8, "begins with a byte order mark; save it as UTF-8 without one"),
    (codecs.BOM_UTF16_LE, "is UTF-16; save it as UTF-8"),
    (codecs.BOM_UTF16_BE, "is UTF-16; save it as UTF-8"),
)
"""What editors on Windows put before a text, and what to do about it."""
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


def fault(text: bytes, error: Exception) -> str:
    """Return what is wrong with a text, as the end of a sentence that begins with what the text is.

    Args:
        text: what is no JSON.
        error: what reading it raised.
    """
    if not text.strip():
        return "is empty"
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    return f"is not JSON: {_reason(text, error)}"


def _reason(text: bytes, error: Exception) -> str:
    for mark, meaning in _MARKS:
        if text.startswith(mark):
            return f"it {meaning}"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    if found := _NO_NUMBER.search(text):
        word = found.group(1).decode()
        cure = "write null for a value that is missing" if word.lower() == "nan" else "replace such values"
        return f"JSON has no {word}; {cure}"
    if _TRUNCATED in str(error):
        half = r", or has half of a pair like \ud83d\ude00" if _SURROGATE.search(text) else ""
        return f"it ends too early{half}"
    return str(error).removeprefix("JSON is malformed: ")
