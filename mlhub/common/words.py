"""Numbers of things, as sentences have them."""


def counted(number: int, one: str, several: str | None = None) -> str:
    """Write a number of things: `1 message`, `2 messages`; or `1 worker takes`, `2 workers take`."""
    return f"{number} {one if number == 1 else several or one + 's'}"
