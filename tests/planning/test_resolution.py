import pytest
from made_fingerprint import make_fingerprint

from dd_nnunet.core.errors import UserError
from dd_nnunet.planning.resolution import median_shape, resampled_shape, target_spacing


def test_isotropic_data_get_the_median_spacing():
    fingerprint = make_fingerprint(
        shapes=[(50, 50, 50)] * 3, spacings=[(1.0, 1.0, 1.0), (1.2, 1.0, 1.0), (2.0, 1.0, 1.0)]
    )
    assert target_spacing(fingerprint) == ((1.2, 1.0, 1.0), "median over 3 cases")


def test_a_coarse_axis_gets_its_10th_percentile():
    spacings = [(z, 1.0, 1.0) for z in (4.0, 5.0, 6.0, 7.0, 8.0)]
    fingerprint = make_fingerprint(shapes=[(20, 200, 200)] * 5, spacings=spacings)
    spacing, because = target_spacing(fingerprint)
    # the 10th percentile of 4, 5, 6, 7, 8 lies at 0.4 between the first two
    assert spacing == (4.4, 1.0, 1.0)
    assert "the coarse axis z gets its 10th percentile" in because


def test_a_coarse_axis_with_many_voxels_keeps_the_median():
    fingerprint = make_fingerprint(shapes=[(100, 200, 200)] * 3, spacings=[(z, 1.0, 1.0) for z in (4, 6, 8)])
    assert target_spacing(fingerprint)[0] == (6.0, 1.0, 1.0)


def test_a_coarse_axis_never_gets_finer_than_the_others():
    spacings = [(0.5, 1.0, 1.0), *[(6.0, 1.0, 1.0)] * 4]
    fingerprint = make_fingerprint(shapes=[(20, 200, 200)] * 5, spacings=spacings)
    # the 10th percentile would be 2.7
    assert target_spacing(fingerprint)[0] == (2.7, 1.0, 1.0)
    spacings = [(0.5, 1.0, 1.0)] * 2 + [(6.0, 1.0, 1.0)] * 3
    fingerprint = make_fingerprint(shapes=[(20, 200, 200)] * 5, spacings=spacings)
    assert target_spacing(fingerprint)[0] == (1.0, 1.0, 1.0)


def test_resampled_shape():
    assert resampled_shape((10, 20, 30), (2.0, 1.0, 0.5), (1.0, 1.0, 1.0)) == (20, 20, 15)
    assert resampled_shape((1, 4, 4), (1.0, 1.0, 1.0), (9.0, 1.0, 1.0)) == (1, 4, 4)


def test_a_tenth_of_a_percent_changes_nothing():
    assert resampled_shape((5000, 10, 10), (1.0009, 1.0, 1.0), (1.0, 1.0, 1.0)) == (5000, 10, 10)
    assert resampled_shape((5000, 10, 10), (1.0011, 1.0, 1.0), (1.0, 1.0, 1.0)) == (5006, 10, 10)


def test_median_shape_is_that_of_the_resampled_crops():
    fingerprint = make_fingerprint(
        shapes=[(20, 30, 40), (20, 30, 40), (10, 15, 20)],
        spacings=[(1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (2.0, 2.0, 2.0)],
    )
    assert median_shape(fingerprint, (2.0, 1.0, 1.0)) == (10, 30, 40)


def test_constant_cases_do_not_count():
    fingerprint = make_fingerprint(
        shapes=[(20, 20, 20), (90, 90, 90), (90, 90, 90)], spacings=[(1.0,) * 3] * 3, constant={1, 2}
    )
    assert median_shape(fingerprint, (1.0, 1.0, 1.0)) == (20, 20, 20)


def test_slices_are_refused():
    fingerprint = make_fingerprint(shapes=[(7, 200, 200)] * 3, spacings=[(1.0,) * 3] * 3)
    with pytest.raises(UserError, match="2D data: the median volume is 7 x 200 x 200 voxels"):
        median_shape(fingerprint, (1.0, 1.0, 1.0))
