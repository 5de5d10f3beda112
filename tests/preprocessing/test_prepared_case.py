import weakref
from dataclasses import replace

import numpy as np
import pytest
from restoring import restore_probabilities
from small_plan import AT_1_MM, configuration_at
from small_volumes import volume_of

from dd_nnunet.core.case import CaseProperties
from dd_nnunet.core.json_record import record_from_json, record_to_json
from dd_nnunet.core.part_tree import PartTree
from dd_nnunet.core.plan import NormalizationPlan
from dd_nnunet.preprocessing import case as case_module
from dd_nnunet.preprocessing.case import preprocess_case, restore_labels, restore_slices

RAW_SHAPE, BOX = (12, 14, 16), (slice(2, 10), slice(3, 12), slice(1, 15))


def cropped_volume(background=-7.0, spacing_zyx=(1.0, 1.0, 1.0)):
    array = np.full(RAW_SHAPE, background, np.float32)
    array[BOX] = np.random.default_rng(0).uniform(50, 150, array[BOX].shape)
    return volume_of(array, spacing_zyx)


def test_crop_and_scale_by_hand():
    volume = cropped_volume()
    prepared = preprocess_case(volume, "one", AT_1_MM)
    properties = prepared.properties
    assert (properties.crop_start_zyx, properties.crop_stop_zyx) == ((2, 3, 1), (10, 12, 15))
    assert properties.prepared_shape_zyx == prepared.array.shape[1:] == (8, 9, 14)
    assert properties.prepared_spacing_zyx_mm == (1.0, 1.0, 1.0)
    ((low, high),) = properties.intensity_ranges
    inside = volume.array[0][BOX]
    assert (low, high) == pytest.approx(tuple(np.percentile(inside, (0.5, 99.5))))
    np.testing.assert_allclose(prepared.array[0], np.clip((inside - low) / (high - low), 0, 1), atol=1e-6)
    assert prepared.array.dtype == np.float32
    assert properties.warnings == ()


@pytest.mark.parametrize("background", [0.0, -1024.0, 33.0])
def test_crop_only_round_trip_is_exact(background):
    properties = preprocess_case(cropped_volume(background), "one", AT_1_MM).properties
    labels = np.random.default_rng(1).integers(0, 5, properties.prepared_shape_zyx).astype(np.uint8)
    one_hot = (labels == np.arange(5)[:, None, None, None]).astype(np.float32)
    expected = np.zeros(RAW_SHAPE, np.uint8)
    expected[BOX] = labels
    np.testing.assert_array_equal(restore_labels(labels, properties), expected)
    np.testing.assert_array_equal(restore_probabilities(one_hot, properties), expected)


def test_a_finer_prepared_grid_round_trips_exactly():
    # every raw voxel becomes 3 x 3 x 3: constant blocks come back as they were
    properties = preprocess_case(cropped_volume(spacing_zyx=(3.0, 3.0, 3.0)), "one", AT_1_MM).properties
    assert properties.prepared_shape_zyx == (24, 27, 42)
    labels = np.random.default_rng(1).integers(0, 3, (8, 9, 14)).astype(np.uint8)
    fine = labels.repeat(3, 0).repeat(3, 1).repeat(3, 2)
    np.testing.assert_array_equal(restore_labels(fine, properties)[BOX], labels)
    one_hot = (fine == np.arange(3)[:, None, None, None]).astype(np.float32)
    np.testing.assert_array_equal(restore_probabilities(one_hot, properties)[BOX], labels)


def test_a_coarser_prepared_grid_keeps_a_box_in_place():
    properties = preprocess_case(cropped_volume(), "one", configuration_at((2.0, 3.0, 2.0))).properties
    assert properties.prepared_shape_zyx == (4, 3, 7)
    labels = np.zeros((4, 3, 7), np.uint8)
    labels[1:3, 1, 2:5] = 1
    expected = np.zeros((8, 9, 14), np.uint8)
    expected[2:6, 3:6, 4:10] = 1
    np.testing.assert_array_equal(restore_labels(labels, properties)[BOX], expected)


def slow_restore(probabilities, properties):
    """Trilinear interpolation voxel by voxel."""
    start, stop = properties.crop_start_zyx, properties.crop_stop_zyx
    raw = np.zeros(properties.geometry.shape_zyx, np.uint8)
    old = probabilities.shape[1:]
    for index in np.ndindex(*(b - a for a, b in zip(start, stop, strict=True))):
        total = np.zeros(len(probabilities))
        centre = [
            min(max((i + 0.5) * n / (b - a) - 0.5, 0), n - 1)
            for i, n, a, b in zip(index, old, start, stop, strict=True)
        ]
        for corner in np.ndindex(2, 2, 2):
            voxel = [min(int(c) + k, n - 1) for c, k, n in zip(centre, corner, old, strict=True)]
            weight = np.prod([(c % 1) if k else 1 - c % 1 for c, k in zip(centre, corner, strict=True)])
            total += weight * probabilities[(slice(None), *voxel)]
        raw[tuple(i + a for i, a in zip(index, start, strict=True))] = total.argmax()
    return raw


@pytest.mark.parametrize("slab_voxels", [1, 3 * 9 * 14 * 3, 2**22])
def test_probabilities_against_a_slow_loop_in_slabs_of_any_thickness(slab_voxels, monkeypatch):
    monkeypatch.setattr(case_module, "SLAB_VOXELS", slab_voxels)
    properties = preprocess_case(cropped_volume(), "one", configuration_at((1.6, 1.5, 0.8))).properties
    random = np.random.default_rng(2).random((3, *properties.prepared_shape_zyx)).astype(np.float32)
    np.testing.assert_array_equal(restore_probabilities(random, properties), slow_restore(random, properties))


def test_slices_are_let_go_once_they_were_passed(monkeypatch):
    monkeypatch.setattr(case_module, "SLAB_VOXELS", 1)
    properties = preprocess_case(cropped_volume(), "one", configuration_at((0.5, 1.0, 1.0))).properties
    assert properties.prepared_shape_zyx == (16, 9, 14)
    random = np.random.default_rng(2).random((16, 3, 9, 14)).astype(np.float32)
    handed_out, alive = [], []

    def arriving():
        for values in random:
            alive.append(sum(reference() is not None for reference in handed_out))
            arrived = values.copy()
            handed_out.append(weakref.ref(arrived))
            yield arrived
            del arrived

    found = restore_slices(arriving(), PartTree((3,)), properties)[0]
    np.testing.assert_array_equal(found, restore_probabilities(np.moveaxis(random, 0, 1), properties))
    # beside the one that comes
    assert max(alive) == 1


def test_too_few_slices_are_a_fault_of_ours():
    properties = preprocess_case(cropped_volume(), "one", AT_1_MM).properties
    with pytest.raises(ValueError, match="no slice 7 arrived"):
        restore_slices([np.zeros((2, 9, 14), np.float32)] * 7, PartTree((2,)), properties)


def test_half_precision_probabilities_are_taken():
    properties = preprocess_case(cropped_volume(), "one", configuration_at((1.6, 1.5, 0.8))).properties
    random = np.random.default_rng(2).random((3, *properties.prepared_shape_zyx)).astype(np.float16)
    expected = restore_probabilities(random.astype(np.float32), properties)
    np.testing.assert_array_equal(restore_probabilities(random, properties), expected)


def test_thick_slices_come_back_by_the_nearest_slice():
    properties = preprocess_case(
        cropped_volume(spacing_zyx=(4.0, 1.0, 1.0)), "one", configuration_at((2.0, 1.0, 1.0))
    ).properties
    assert properties.prepared_shape_zyx == (16, 9, 14)
    probabilities = np.zeros((2, 16, 9, 14), np.float32)
    # of the two prepared slices of a raw one the second is the nearest: a half is rounded up
    probabilities[1, 5::2] = 1.0
    probabilities[0] = 0.5
    restored = restore_probabilities(probabilities, properties)[BOX]
    assert (restored[:2] == 0).all() and (restored[2:] == 1).all()


def test_of_equal_probabilities_the_first_part_wins():
    properties = preprocess_case(cropped_volume(), "one", AT_1_MM).properties
    assert not restore_probabilities(np.full((4, 8, 9, 14), 0.25, np.float32), properties).any()


def test_more_than_256_parts_need_two_bytes():
    properties = preprocess_case(cropped_volume(), "one", AT_1_MM).properties
    probabilities = np.zeros((300, 8, 9, 14), np.float16)
    probabilities[299] = 1
    restored = restore_probabilities(probabilities, properties)
    assert restored.dtype == np.uint16 and restored.max() == 299


def test_another_shape_is_a_fault_of_ours():
    properties = preprocess_case(cropped_volume(), "one", AT_1_MM).properties
    with pytest.raises(ValueError, match=r"one: shape \(1, 2, 3\) is not the prepared \(8, 9, 14\)"):
        restore_labels(np.zeros((1, 2, 3), np.uint8), properties)


def test_channels_are_scaled_apart_and_share_the_crop():
    array = np.zeros((2, *RAW_SHAPE), np.float32)
    array[0][BOX] = np.random.default_rng(0).uniform(1, 2, array[0][BOX].shape)
    array[1][5, 5, 5] = 1000.0
    array[1][BOX] += np.random.default_rng(1).uniform(10, 20, array[0][BOX].shape)
    prepared = preprocess_case(volume_of(array), "one", configuration_at((1.0, 1.0, 1.0), n_channels=2))
    (low_0, high_0), (low_1, high_1) = prepared.properties.intensity_ranges
    assert 1 <= low_0 < high_0 <= 2 and 10 <= low_1 < high_1 <= 21
    assert prepared.array.shape == (2, 8, 9, 14)
    assert prepared.array.min() == 0 and prepared.array.max() == 1


def test_splines_do_not_leave_the_range():
    prepared = preprocess_case(cropped_volume(), "one", configuration_at((0.6, 0.7, 0.5)))
    assert prepared.array.min() >= 0 and prepared.array.max() <= 1


def test_a_constant_volume_becomes_zeros_with_a_warning():
    prepared = preprocess_case(volume_of(np.full(RAW_SHAPE, 3.0)), "one", AT_1_MM)
    assert prepared.array.shape == (1, *RAW_SHAPE) and not prepared.array.any()
    assert "constant" in prepared.properties.warnings[0]


@pytest.mark.parametrize("background", [-7.0, 100.5, 900.0])
def test_a_constant_background_becomes_0_however_bright_it_is(background):
    volume = cropped_volume(background)
    # a corner of the box that is background too
    volume.array[0, 2:4, 3:5, 1:3] = background
    prepared = preprocess_case(volume, "one", AT_1_MM).array[0]
    assert not prepared[:2, :2, :2].any()
    low, high = np.percentile(np.delete(volume.array[0][BOX].ravel(), _corner()), (0.5, 99.5))
    np.testing.assert_allclose(
        prepared[2:], np.clip((volume.array[0][BOX][2:] - low) / (high - low), 0, 1), atol=1e-6
    )
    whole = preprocess_case(volume, "one", replace(AT_1_MM, crop=False)).array[0]
    np.testing.assert_allclose(whole[0, 0, 0], np.clip((background - low) / (high - low), 0, 1), atol=1e-6)


def _corner():
    """Places of 2 × 2 × 2 voxels in the flattened box."""
    z, y, x = np.unravel_index(range(8), (2, 2, 2))
    return np.ravel_multi_index((z, y, x), (8, 9, 14))


def test_what_was_odd_about_the_files_stays_with_the_case():
    volume = volume_of(np.random.default_rng(0).random(RAW_SHAPE), warnings=("odd",))
    assert preprocess_case(volume, "one", AT_1_MM).properties.warnings == ("odd",)


def test_properties_survive_json():
    properties = preprocess_case(cropped_volume(), "one", AT_1_MM).properties
    assert record_from_json(CaseProperties, record_to_json(properties), "x") == properties


def test_a_volume_may_be_taken_whole():
    volume = cropped_volume(background=-7.0)
    plan = replace(AT_1_MM, crop=False, normalization=(NormalizationPlan("min_max", 0, 100),))
    prepared = preprocess_case(volume, "a", plan)
    assert prepared.properties.prepared_shape_zyx == volume.array.shape[1:]
    low, high = volume.array.min(), volume.array.max()
    np.testing.assert_allclose(prepared.array, (volume.array - low) / (high - low), atol=1e-6)
    labels = np.random.default_rng(0).integers(0, 3, volume.array.shape[1:]).astype(np.uint8)
    np.testing.assert_array_equal(restore_labels(labels, prepared.properties), labels)
