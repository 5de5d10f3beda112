"""Components of parts that are small beside the part's largest one, on rows that can be read."""

import numpy as np
import pytest

from dd_nnunet.regions.small_components import absorb_small_components

ISOTROPIC = (1.0, 1.0, 1.0)


def row(text):
    """[1,1,X] of digits."""
    return np.array([[[int(digit) for digit in text]]], np.uint8)


def absorbed(text, share, above=None, parents=(0, 0, 0), spacing=ISOTROPIC):
    found = absorb_small_components(row(text), None if above is None else row(above), parents, share, spacing)
    return "".join(map(str, found[0, 0]))


def test_a_small_component_becomes_what_lies_around_it():
    assert absorbed("0000001000111111", 0.3) == "0000000000111111"


@pytest.mark.parametrize(("share", "expected"), [(0.5, "1111001100"), (0.51, "1111000000")])
def test_small_is_below_the_share_of_the_parts_largest(share, expected):
    assert absorbed("1111001100", share) == expected


def test_nothing_is_small_at_0_and_the_input_stays():
    before = row("0100110222")
    found = absorb_small_components(before, None, (0, 0, 0), 0.0, ISOTROPIC)
    assert np.array_equal(found, row("0100110222")) and np.array_equal(before, row("0100110222"))


def test_at_1_every_part_keeps_its_largest_component_alone():
    # of two that are equally near, the later one is taken
    assert absorbed("0001101110002", 1.0) == "0000011110002"


def test_a_component_stays_in_the_part_above():
    # the last 1 is small; a part 0 lies beside it, but part 2 is its sibling
    assert absorbed("1111122220001", 0.5, above="1111111110001", parents=(0, 1, 1)) == "1111122220002"


@pytest.mark.parametrize(("thickness", "expected"), [(5.0, 1), (0.5, 2)])
def test_nearest_is_measured_in_millimetres(thickness, expected):
    slices = np.concatenate([row("2220000"), row("1010000"), row("2220000")])
    found = absorb_small_components(slices, None, (0, 0, 0), 0.5, (thickness, 1.0, 1.0))
    slices[1, 0, 1] = expected
    assert np.array_equal(found, slices)


def test_a_part_alone_in_the_part_above_stays_and_so_does_an_absent_one():
    assert absorbed("0010001100", 0.9, above="0010001100", parents=(0, 1)) == "0010001100"
    assert absorbed("0000000000", 0.9) == "0000000000"
