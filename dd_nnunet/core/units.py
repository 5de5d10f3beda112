"""Units that the floors share, and how many of a thing in words."""

# memory is counted as operating systems and drivers do, in powers of two
GB = 1024**3


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 case", "0 cases", "2 training cases"; the noun takes a plain s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
