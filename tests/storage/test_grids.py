import math
from pathlib import Path

import pytest
from small_volumes import STRAIGHT

from dd_nnunet.core.case import Geometry
from dd_nnunet.core.errors import UserError
from dd_nnunet.storage.grids import compare_grids

A, B = Path("a.nii"), Path("b.nii")


def grid(size=(11, 21, 31), spacing=(1.0, 2.0, 4.0), origin=(0.0, 0.0, 0.0), direction=STRAIGHT):
    return Geometry(size, spacing, origin, direction)


def turned(angle):
    c, s = math.cos(angle), math.sin(angle)
    return (c, -s, 0.0, s, c, 0.0, 0.0, 0.0, 1.0)


def test_equal_grids():
    assert compare_grids(A, grid(), B, grid()) == ()


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (grid(size=(11, 21, 30)), "has the size (11, 21, 30), a.nii has (11, 21, 31)"),
        (grid(spacing=(1.0, 2.0, 4.1)), "has the spacing 1×2×4.1 mm, a.nii has 1×2×4 mm"),
        (grid(origin=(0.0, 0.3, 0.4)), "lies up to 0.5 voxels away from a.nii (origin or direction)"),
        # the corner at (10, 40, ·) mm goes to (-10, -40, ·)
        (grid(direction=turned(math.pi)), f"lies up to {2 * math.hypot(10, 40):.3g} voxels away from a.nii"),
    ],
)
def test_other_grids(other, reason):
    with pytest.raises(UserError) as caught:
        compare_grids(A, grid(), B, other)
    assert caught.value.where == "b.nii"
    assert caught.value.reason.startswith(reason)


def test_small_differences_are_told():
    other = grid(spacing=(1.0, 2.001, 4.0), origin=(0.0, 0.0, 0.008))
    assert compare_grids(A, grid(), B, other) == (
        "b.nii: its spacing differs by 0.0005 from that of a.nii",
        "b.nii: lies up to 0.008 voxels away from a.nii",
    )


def test_rounding_is_not_told():
    other = grid(spacing=(1.0, 2.000001, 4.0), origin=(0.0, 0.0, 0.00005), direction=turned(1e-6))
    assert compare_grids(A, grid(), B, other) == ()
