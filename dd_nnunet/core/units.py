"""Units and a bound that the floors share, and numbers in words and digits."""

# memory is counted as operating systems and drivers do, in powers of two
GB = 1024**3
# the parts that training starts from are kept as bytes
MOST_PARTS = 256


def counted(number: int, noun: str, verbs: tuple[str, str] = ("", "")) -> str:
    """A number with its noun, which takes a plain s, and a verb: "1 case is", "0 cases are"."""
    text = f"{number} {noun} {verbs[0]}" if number == 1 else f"{number} {noun}s {verbs[1]}"
    return text.rstrip()


def decimals(value: float, digits: int) -> str:
    """With so many decimals; two significant digits where these would show zeros alone, as of nanometres in mm."""
    text = f"{value:.{digits}f}"
    return f"{value:.2g}" if value and not float(text) else text
