"""One colour per part number, the same in every figure, told apart by colour-blind eyes too."""

Rgb = tuple[int, int, int]

# Okabe and Ito, "Color Universal Design", 2008, without black; neighbours in the list are easy to tell apart
OKABE_ITO: tuple[Rgb, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
    (0, 114, 178),
)
BACKGROUND: Rgb = (150, 156, 164)


def part_colour(part: int) -> Rgb:
    """Colour of a part, RGB in 0–255: 0 grey, 1–7 Okabe–Ito, 8–14 lighter, 15–21 darker, then again."""
    if part == 0:
        return BACKGROUND
    turn, place = divmod(part - 1, len(OKABE_ITO))
    red, green, blue = OKABE_ITO[place]
    target, weight = ((0, 0.0), (255, 0.55), (0, 0.45))[turn % 3]
    return (
        round(red + (target - red) * weight),
        round(green + (target - green) * weight),
        round(blue + (target - blue) * weight),
    )


def hex_colour(part: int) -> str:
    """`part_colour` as "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*part_colour(part))
