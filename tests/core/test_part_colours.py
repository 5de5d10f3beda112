from dd_nnunet.core.part_colours import OKABE_ITO, hex_colour, part_colour


def test_part_0_is_grey_and_the_first_parts_are_okabe_ito():
    assert len(set(part_colour(0))) == 3 and max(part_colour(0)) - min(part_colour(0)) < 20
    assert [part_colour(part) for part in range(1, 8)] == list(OKABE_ITO)
    assert hex_colour(1) == "#e69f00"


def test_later_parts_are_lighter_then_darker_and_the_first_22_differ():
    assert part_colour(8) == (244, 212, 140)  # 230 + 0.55 * 25, 159 + 0.55 * 96, 0.55 * 255
    assert part_colour(15) == (126, 87, 0)  # 55 % of 230, 159, 0
    assert len({part_colour(part) for part in range(22)}) == 22
    assert part_colour(22) == part_colour(1)
