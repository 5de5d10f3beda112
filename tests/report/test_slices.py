import base64
import io

import numpy as np
import pytest
from small_volumes import STRAIGHT

from dd_nnunet.core.case import Geometry
from dd_nnunet.report.slices import (
    Oriented,
    cut,
    grey_levels,
    paint,
    pixel_size_mm,
    png_uri,
    richest_position,
    to_body_axes,
)

ORANGE = (230, 159, 0)


def geometry(shape_zyx, direction, spacing_xyz=(1.0, 2.0, 3.0)):
    return Geometry(tuple(shape_zyx[::-1]), spacing_xyz, (0.0, 0.0, 0.0), direction)


def test_axes_that_run_as_lps_stay():
    array = np.arange(24).reshape(2, 3, 4)
    turned = to_body_axes(array, geometry(array.shape, STRAIGHT))
    assert np.array_equal(turned.array, array)
    assert turned.spacing_zyx_mm == (3.0, 2.0, 1.0)


def test_ras_axes_are_flipped_left_right_and_front_back():
    array = np.arange(24).reshape(2, 3, 4)
    turned = to_body_axes(array, geometry(array.shape, (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0)))
    assert np.array_equal(turned.array, array[:, ::-1, ::-1])


def test_sagittal_scans_are_turned_to_axial_even_if_slightly_oblique():
    array = np.arange(24).reshape(2, 3, 4)
    # array x runs to the back, array y to the head, array z to the left
    tilted = (0.0, 0.1, 0.995, 1.0, 0.0, 0.0, 0.0, 0.995, -0.1)
    turned = to_body_axes(array, geometry(array.shape, tilted))
    assert np.array_equal(turned.array, array.transpose(1, 2, 0))
    assert turned.array[2, 3, 1] == array[1, 2, 3]
    assert turned.spacing_zyx_mm == (2.0, 1.0, 3.0)


def test_every_turn_agrees_with_simpleitk():
    sitk = pytest.importorskip("SimpleITK")
    array = np.random.default_rng(0).integers(0, 99, (3, 4, 5)).astype(np.int16)
    for order in ([0, 1, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]):
        for signs in ([1, 1, 1], [-1, 1, -1], [-1, -1, 1]):
            direction = (np.eye(3)[order] * signs).ravel().tolist()
            image = sitk.GetImageFromArray(array)
            image.SetDirection(direction)
            image.SetSpacing((1.0, 2.0, 3.0))
            expected = sitk.DICOMOrient(image, "LPS")
            turned = to_body_axes(array, geometry(array.shape, tuple(direction)))
            assert np.array_equal(turned.array, sitk.GetArrayFromImage(expected))
            assert turned.spacing_zyx_mm == expected.GetSpacing()[::-1]
            place = dict(turned.place_in_file(axis, 1)[:2] for axis in range(3))
            assert turned.array[1, 1, 1] == array[place["k"], place["j"], place["i"]]


def test_the_cut_goes_through_most_parts_and_small_ones_draw_it():
    labels = np.zeros((5, 5, 9), dtype=np.uint8)
    labels[1:4, 1:4, 1:8] = 1
    labels[3, 1, 6] = 2
    assert richest_position(labels) == (3, 1, 6)


def test_the_cut_of_an_empty_volume_is_its_centre():
    assert richest_position(np.zeros((5, 4, 7), dtype=np.uint8)) == (2, 1, 3)


def test_grey_levels_clip_the_extremes():
    image = np.arange(1001, dtype=np.float32)
    grey = grey_levels(image)
    assert (
        grey[0] == 0 and grey[5] == pytest.approx(0) and grey[500] == pytest.approx(0.5) and grey[1000] == 1
    )
    assert np.array_equal(grey_levels(np.full((2, 2), 7.0)), np.full((2, 2), 0.5))


def test_cuts_are_to_scale_with_the_head_up():
    array = np.array([[[1, 2]], [[3, 4]]])  # [Z=2,Y=1,X=2]
    oriented = Oriented(array, (2.0, 1.0, 1.0))
    assert np.array_equal(cut(oriented, "axial", (0, 0, 0), 1.0), [[1, 2]])
    assert np.array_equal(cut(oriented, "coronal", (0, 0, 0), 1.0), [[3, 4], [3, 4], [1, 2], [1, 2]])
    assert np.array_equal(cut(oriented, "sagittal", (0, 0, 1), 1.0), [[4], [4], [2], [2]])
    assert pixel_size_mm(oriented) == 4.0 / 384


def test_parts_get_a_fill_and_a_rim_and_part_0_stays_grey():
    labels = np.zeros((12, 12), dtype=np.uint8)
    labels[2:10, 2:10] = 1
    rgb = paint(np.full((12, 12), 0.4), labels, {1: ORANGE})
    assert rgb[0, 0].tolist() == [102, 102, 102]  # 0.4 * 255, part 0
    assert rgb[2, 5].tolist() == list(ORANGE)  # the rim
    assert rgb[3, 5].tolist() == list(ORANGE)  # is two pixels deep
    assert rgb[5, 5].tolist() == [143, 120, 69]  # 102 + 0.32 * (230 - 102), …
    assert np.array_equal(paint(np.full((2, 2), 1.0), None, {1: ORANGE}), np.full((2, 2, 3), 255))


def test_png_round_trip():
    from matplotlib.image import imread

    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    kind, data = png_uri(rgb).split(",")
    assert kind == "data:image/png;base64"
    decoded = imread(io.BytesIO(base64.b64decode(data)), format="png")
    assert np.array_equal(np.round(decoded[..., :3] * 255).astype(np.uint8), rgb)
