import dataclasses

import nibabel
import numpy as np
import pytest
from made_fingerprint import make_case, make_channel
from shaped_noise import shaped_noise
from small_volumes import volume_of

from dataset_conversion.synthcell import VARIANTS, make_volume
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.fingerprint import CaseFingerprint, DatasetFingerprint
from dd_nnunet.core.json_record import record_from_json, record_to_json
from dd_nnunet.planning.fingerprinting import (
    fingerprint_case,
    merge_diameters,
    merge_fingerprints,
    orientation_code,
)
from dd_nnunet.planning.levels import measured_parts
from dd_nnunet.planning.stage_choice import choose_stages, choose_timesteps


def test_a_case_by_hand():
    array = np.full((10, 12, 14), -5.0)
    # 0 … 1000 once each in a box of 7·11·13 = 1001 voxels
    array[1:8, 1:12, 1:14] = np.random.default_rng(0).permutation(1001).reshape(7, 11, 13)
    case = fingerprint_case(volume_of(array, (3.0, 2.0, 1.0)), "one")
    assert case.case_id == "one"
    assert case.shape_zyx == (10, 12, 14)
    assert case.spacing_zyx_mm == (3.0, 2.0, 1.0)
    assert (case.crop_start_zyx, case.crop_stop_zyx) == ((1, 1, 1), (8, 12, 14))
    assert case.crop_shape_zyx == (7, 11, 13)
    (channel,) = case.channels
    assert channel.percentile_00_5 == pytest.approx(5)
    assert channel.percentile_05 == pytest.approx(50)
    assert channel.percentile_50 == pytest.approx(500)
    assert channel.percentile_95 == pytest.approx(950)
    assert channel.percentile_99_5 == pytest.approx(995)
    assert channel.mean == pytest.approx(500)
    assert channel.sd == pytest.approx(289.0, abs=0.05)
    # independent voxels are all noise: their sd in units of the 990 between the percentiles
    assert channel.noise_sd == pytest.approx(289 / 990, rel=0.15)
    # all signal or all noise cannot be told from independent voxels, but the largest is 1000 of 995, around 500
    assert channel.max_over_p99_5 == pytest.approx(500 / 495)
    assert channel.snr < 0.6
    assert channel.spectrum_slope == 0.0  # an axis below 8 voxels
    assert channel.noise_slope == pytest.approx(0.0, abs=0.3)
    assert channel.whole_noise_sd >= channel.noise_sd
    assert case.foreground_share == 1001 / (10 * 12 * 14)
    assert (case.orientation, case.source_dtypes) == ("LPS", ("float32",))
    assert not case.constant


def test_noise_is_measured_in_units_of_the_percentile_range():
    grid = np.indices((40, 40, 40)) - 19.5
    cell = 1000.0 * ((grid**2).sum(axis=0) < 15**2)
    noisy = cell + np.random.default_rng(0).normal(0, 80, cell.shape)
    (channel,) = fingerprint_case(volume_of(noisy), "x").channels
    width = channel.percentile_99_5 - channel.percentile_00_5
    assert channel.noise_sd == pytest.approx(80 / width, rel=0.1)


def test_every_channel_is_measured_for_itself_and_one_that_is_constant_does_not_count():
    grid = np.indices((41, 41, 41)) - 20
    noise = np.random.default_rng(0).normal(0, 0.1, grid.shape[1:])
    ball = 1.0 * ((grid**2).sum(axis=0) < 12**2)
    case = fingerprint_case(volume_of(np.stack([np.zeros_like(ball), ball + noise, 300 * ball])), "x")
    constant, noisy, clean = case.channels
    assert (constant.percentile_99_5, constant.noise_sd, constant.snr) == (0.0, 0.0, 0.0)
    width = noisy.percentile_99_5 - noisy.percentile_00_5
    assert noisy.noise_sd == pytest.approx(0.1 / width, rel=0.1)
    assert (clean.noise_sd, clean.percentile_99_5) == (0.0, 300.0)
    assert case.diameters_mm[0] == pytest.approx(24, abs=2)
    assert case.diameters_voxels == case.diameters_mm


def test_what_each_channel_holds_counts_whatever_their_order():
    """Both channels show a ball of 48 voxels; one of 20 shines in it in one channel, one of 14 in the other."""
    grid = np.indices((64, 64, 64)) - 31.5

    def balls(*radii):
        inside = sum(1.0 * ((grid**2).sum(axis=0) < radius**2) for radius in radii)
        return inside + np.random.default_rng(0).normal(0, 0.05, inside.shape)

    small, large = balls(24, 7), balls(24, 10)
    alone = [fingerprint_case(volume_of(channel), "x").diameters_mm for channel in (small, large)]
    # noise takes some of the outermost voxels
    assert alone[0] == pytest.approx((48, 14), abs=4)
    assert alone[1] == pytest.approx((48, 20), abs=4)
    both, turned = (
        fingerprint_case(volume_of(np.stack(pair), (2.0,) * 3), "x")
        for pair in ((small, large), (large, small))
    )
    assert both.diameters_mm == turned.diameters_mm
    assert both.diameters_mm[1] == pytest.approx(2 * np.mean([d[1] for d in alone]), abs=1e-3)
    assert both.diameters_voxels[1] == pytest.approx(both.diameters_mm[1] / 2)
    assert (both.splits, both.opening_spectrum) == (turned.splits, turned.opening_spectrum)


def test_a_channel_that_is_constant_between_its_percentiles_changes_nothing():
    inside = ((np.indices((32, 32, 32)) - 15.5) ** 2).sum(axis=0) < 9**2
    ball = 100.0 * inside + np.random.default_rng(0).normal(0, 10, inside.shape)
    hot = np.zeros_like(ball)
    hot[3, 4, 5] = 1000
    alone, beside = (
        fingerprint_case(volume_of(np.stack(channels)), "x") for channels in ([ball], [ball, hot])
    )
    assert not beside.channels[1].varies
    assert dataclasses.replace(beside, channels=alone.channels, source_dtypes=alone.source_dtypes) == alone


def test_constant_channels_do_not_count_in_the_medians():
    noisy, constant = (
        make_channel(0.1),
        dataclasses.replace(make_channel(0.0, (7.0,) * 5), snr=0.0, noise_slope=0.0),
    )
    cases = [make_case(n, channels=(noisy, constant)) for n in range(3)]
    merged = merge_fingerprints(cases, "x")
    assert (merged.noise_sd, merged.noise_slope, merged.snr) == (0.1, -1.0, 2.5)
    # one whose channel varies in a minority of cases is told apart from none
    mixed = [*cases, make_case(3, channels=(noisy, noisy))]
    assert merge_fingerprints(mixed, "x").noise_sd == 0.1


def test_a_noisy_ball_has_its_contrast_size_and_symmetry():
    inside = ((np.indices((48, 48, 48)) - 23.5) ** 2).sum(axis=0) < 10**2
    noisy = 100.0 * inside + np.random.default_rng(0).normal(0, 20, inside.shape)
    case = fingerprint_case(volume_of(noisy, (2.0, 2.0, 2.0)), "x")
    (channel,) = case.channels
    share = inside.mean()
    assert channel.snr == pytest.approx(100 * np.sqrt(share * (1 - share)) / 20, rel=0.1)
    assert channel.n_modes == 2
    assert channel.mode_separation > 3
    assert case.bright_diameter_mm == pytest.approx(40, abs=6)
    assert case.bright_diameter_mm < case.dark_diameter_mm
    assert min(case.mirror_correlation_zyx) > 0.8


def test_white_noise_has_slope_0():
    noise = np.random.default_rng(0).normal(size=(64, 64, 64))
    (channel,) = fingerprint_case(volume_of(noise), "x").channels
    assert channel.noise_slope == pytest.approx(0, abs=0.1)
    assert channel.spectrum_slope == pytest.approx(0, abs=0.1)
    assert channel.n_modes == 1


@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.8])
def test_coloured_noise_on_an_object_is_told_from_it(exponent):
    inside = ((np.indices((64, 64, 64)) - 31.5) ** 2).sum(axis=0) < 20**2
    noise = shaped_noise(exponent, inside.shape)
    noisy = 200.0 * inside + 100 * noise / noise.std()
    (channel,) = fingerprint_case(volume_of(noisy), "x").channels
    width = channel.percentile_99_5 - channel.percentile_00_5
    share = inside.mean()
    assert channel.noise_slope == pytest.approx(-exponent, abs=0.15)
    assert channel.whole_noise_sd * width == pytest.approx(100, rel=0.06)
    assert channel.snr == pytest.approx(2 * np.sqrt(share * (1 - share)), rel=0.15)


@pytest.mark.parametrize(
    ("axes", "expected"),
    [((1, 1, 1), "LPS"), ((-1, -1, 1), "RAS"), ((-1, 1, -1), "RPI")],
)
def test_orientation_by_hand(axes, expected):
    assert orientation_code(np.diag(axes).ravel()) == expected


def test_orientation_of_turned_axes_as_nibabel_names_it():
    rng = np.random.default_rng(1)
    for _ in range(20):
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        in_ras = np.diag((-1, -1, 1)) @ turn
        try:
            expected = "".join(
                nibabel.orientations.aff2axcodes(np.block([[in_ras, np.zeros((3, 1))], [0, 0, 0, 1]]))
            )
        except TypeError:
            continue
        nearest = np.abs(turn).argmax(axis=0)
        if len(set(nearest)) == 3:
            assert orientation_code(turn.ravel()) == expected


def test_warnings_of_mixtures():
    wide = make_channel()
    wide = dataclasses.replace(wide, percentile_00_5=0.0, percentile_99_5=4000.0)
    cases = [make_case(n) for n in range(4)] + [
        make_case(4, channels=(wide,)),
        make_case(5, source_dtypes=("int16",)),
        make_case(6, orientation="RAS"),
        make_case(7, foreground_share=0.0004),
        make_case(8, orientation=""),
    ]
    assert merge_fingerprints(cases, "dataset").warnings == (
        "case_007: nearly empty, 0.04 % of it is not background",
        "case_004: intensities of channel 0 span 4000 against a median of 1; each case is scaled by its own "
        "percentiles",
        "number formats differ between cases: float32 (8 cases), int16 (1 case)",
        "orientations differ between cases: LPS (7 cases), RAS (1 case), none stated (1 case)",
    )


def test_medians_by_hand():
    cases = [
        make_case(2, (10, 20, 30), (1, 1, 1), diameters_mm=(30.0, 9.0)),
        make_case(1, (12, 20, 34), (2, 1, 1), diameters_mm=(34.0, 8.0, 3.0)),
        make_case(0, (14, 26, 32), (4, 1, 3), diameters_mm=(38.0, 10.0)),
    ]
    merged = merge_fingerprints(cases, "dataset", ["odd file"])
    assert [case.case_id for case in merged.cases] == ["case_000", "case_001", "case_002"]
    assert merged.median_crop_shape_zyx == (12, 20, 32)
    assert merged.median_spacing_zyx_mm == (2.0, 1.0, 1.0)
    assert merged.anisotropy == 2.0
    assert (merged.noise_sd, merged.noise_slope, merged.snr) == (0.078, -1.0, 2.5)
    assert merged.diameters_mm == (34.0, 9.0)
    assert merged.warnings == ("odd file",)


def test_diameters_that_few_cases_have_are_dropped():
    assert merge_diameters([(40.0, 10.0, 5.0), (42.0, 12.0), (44.0,)]) == (42.0, 11.0)
    assert merge_diameters([(40.0, 10.0), (42.0,), (44.0,)]) == (42.0,)
    assert merge_diameters([(), (42.0,), ()]) == (42.0,)
    assert merge_diameters([(), ()]) == ()


def test_merged_diameters_fall():
    # the second is measured in two cases only, both with a large object
    assert merge_diameters([(40.0, 30.0), (44.0, 34.0), (10.0,)]) == (40.0, 32.0)
    assert merge_diameters([(40.0, 30.0), (12.0,), (10.0,), (40.0, 30.0), (10.0,)]) == (12.0,)
    assert merge_diameters([(40.0, 30.0), (40.0, 30.0), (10.0,), (12.0,)]) == (26.0, 26.0)


def test_no_cases_are_refused():
    with pytest.raises(UserError, match="there are no cases"):
        merge_fingerprints([], "dataset")


def test_json_round_trip():
    merged = merge_fingerprints([make_case(0), make_case(1)], "dataset")
    assert record_from_json(DatasetFingerprint, record_to_json(merged), "x") == merged
    assert record_from_json(CaseFingerprint, record_to_json(merged.cases[0]), "x") == merged.cases[0]


@pytest.fixture(scope="module")
def synthcell():
    volumes = [make_volume(VARIANTS["regular"], 0, index).image for index in range(4)]
    return merge_fingerprints([fingerprint_case(volume_of(v), f"c{i}") for i, v in enumerate(volumes)], "x")


def test_synthetic_cells_are_measured_as_they_are_made(synthcell):
    # radii 18-22, 4-6 and 2.5-3.8 voxels
    assert synthcell.diameters_mm == pytest.approx((36, 10, 5.5), rel=0.15)


def test_synthetic_cells_have_two_parts_and_then_three(synthcell):
    """Vesicles and mitochondria share their intensities, so that the true four classes cannot be told apart."""
    found = measured_parts(synthcell.cases)
    assert (found.n_parts, found.children) == ((2, 3), ((2,), (1, 2)))


def test_noise_is_planned_as_two_parts_with_a_warning():
    noise = [np.random.default_rng(seed).normal(size=(24, 24, 24)) for seed in range(3)]
    merged = merge_fingerprints([fingerprint_case(volume_of(v), f"c{i}") for i, v in enumerate(noise)], "x")
    assert merged.warnings == (
        "no part stands out from noise in more than half of the cases; unless you give --parts, 2 are planned",
    )
    assert measured_parts(merged.cases).n_parts == (2,)


def test_what_is_split_is_the_channel_that_falls_into_most_parts():
    grid = np.indices((40, 40, 40)) - 19.5
    ball = 2.0 * ((grid**2).sum(axis=0) < 12**2) + np.random.default_rng(0).normal(size=(40, 40, 40))
    noise = np.random.default_rng(1).normal(size=ball.shape)
    case = fingerprint_case(volume_of(np.stack([np.zeros_like(ball), ball, noise])), "x")
    assert case.splits[0].children == 2
    assert fingerprint_case(volume_of(np.stack([noise, ball])), "x").splits == case.splits
    assert fingerprint_case(volume_of(np.stack([noise, noise])), "x").splits[0].children == 1
    assert fingerprint_case(volume_of(np.zeros((9, 9, 9))), "x").splits == ()


def test_synthetic_cells_reproduce_the_papers_stages(synthcell):
    assert choose_stages((8, 4, 2, 1), synthcell.diameters_mm) == (1, 2, 3)
    first, second = choose_timesteps(synthcell.noise_sd, 250)
    assert 50 <= first <= 100 and second <= 150
