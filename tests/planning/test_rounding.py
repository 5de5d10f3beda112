import numpy as np
import pytest

from dd_nnunet.planning.granulometry import characteristic_diameters, granulometry
from dd_nnunet.planning.rounding import rounded


@pytest.mark.parametrize(
    ("value", "decimals", "expected"),
    [
        (36.894512, 4, 36.8945),
        (0.8000000119, 6, 0.8),
        (0.1234567, 4, 0.1235),
        (0.00123456, 6, 0.001235),
        # 16 nanometres in millimetres, as a float32 header keeps them
        (1.5999999959603884e-05, 6, 1.6e-5),
        (0.000123456, 4, 0.0001235),
        (0.0, 4, 0.0),
        (float("inf"), 4, float("inf")),
    ],
)
def test_small_numbers_keep_four_digits(value, decimals, expected):
    assert rounded(value, decimals) == expected


def test_objects_of_nanometres_are_measured_as_those_of_millimetres():
    distance = np.sqrt(((np.indices((24, 24, 24)) - 11.5) ** 2).sum(axis=0))
    cell = 0.5 * (distance < 9) + 0.5 * (distance < 4)

    def sizes(volume, spacing_zyx_mm):
        found = granulometry(volume, spacing_zyx_mm)
        return (found.bright_mm, found.dark_mm, *found.sieve_mm)

    for measure in (characteristic_diameters, sizes):
        millimetres, nanometres = measure(cell, (1.0,) * 3), measure(cell, (4e-6,) * 3)
        assert len(nanometres) == len(millimetres) > 1
        assert nanometres == pytest.approx([4e-6 * d for d in millimetres], rel=1e-3)
    near, far = (granulometry(cell, (edge,) * 3) for edge in (1.0, 4e-6))
    assert (near.opening, near.closing) == (far.opening, far.closing)
