"""A file that gives no more than it is allowed to, so that a library cannot be led to read without end."""

import io
from typing import BinaryIO

from mlhub.common.errors import UnacceptableError


class MeteredFile:
    """The part of a file's methods that archive readers use.

    The libraries read headers and lists of files into memory, as large as the archive says they are.
    """

    def __init__(self, file: BinaryIO, allowance: int) -> None:
        self._file = file
        self.allowance: int | None = allowance
        """Bytes that may still be read; without, any number."""

    def read(self, size: int = -1) -> bytes:
        """Read, within the allowance.

        Raises:
            UnacceptableError: more is asked for.
        """
        if self.allowance is None:
            return self._file.read(size)
        # To the end means to the end of the allowance, and one byte more shows that there is more.
        piece = self._file.read(min(size, self.allowance + 1) if size >= 0 else self.allowance + 1)
        if len(piece) > self.allowance:
            raise UnacceptableError(
                "The bundle's headers are larger than those of any bundle made by common tools; "
                "pack fewer files, with shorter names and without extended attributes.",
                code="headers_too_large",
            )
        self.allowance -= len(piece)
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Change the place where the next read begins."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the place where the next read begins."""
        return self._file.tell()

    def seekable(self) -> bool:
        """Tell whether `seek` works."""
        return self._file.seekable()
