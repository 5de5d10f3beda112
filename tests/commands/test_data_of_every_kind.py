"""Data of every kind go through dd_plan_and_preprocess untouched, unlabelled, and get what they need.

Volumes smaller than a patch: tests/faults/test_f21_smaller_than_patch.py.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from shaped_noise import shaped_noise

from dd_nnunet.commands import plan_and_preprocess
from dd_nnunet.core.case import Geometry
from dd_nnunet.core.fingerprint import DatasetFingerprint
from dd_nnunet.core.plan import Plan
from dd_nnunet.storage.atomic import read_record, write_json
from dd_nnunet.storage.case_store import read_case
from dd_nnunet.storage.volume import write_image

STRAIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
N_CASES = 3


@dataclass(frozen=True)
class Planned:
    folder: Path

    @property
    def fingerprint(self):
        return read_record(DatasetFingerprint, self.folder / "dataset_fingerprint.json")

    @property
    def configuration(self):
        return read_record(Plan, self.folder / "ddPlans.json").configuration("3d_fullres")

    def decision(self, name):
        decisions = read_record(Plan, self.folder / "ddPlans.json").decisions
        return next(decision for decision in decisions if decision.name == name)

    def case(self, number=0):
        return read_case(self.folder / "ddPlans_3d_fullres", f"case_{number}")


def plan(root, draw, channels=("light",), spacing_zyx=(1.0, 1.0, 1.0), ending=".nii.gz"):
    """Write the channels [Z,Y,X] that `draw(number)` makes, no labels, and plan and prepare them."""
    raw = root / "raw" / "Dataset005_Kind"
    names = {str(number): name for number, name in enumerate(channels)}
    write_json(raw / "dataset.json", {"channel_names": names, "numTraining": N_CASES, "file_ending": ending})
    for case in range(N_CASES):
        for channel, array in enumerate(draw(case)):
            geometry = Geometry(array.shape[::-1], tuple(spacing_zyx[::-1]), (0.0, 0.0, 0.0), STRAIGHT)
            write_image(raw / "imagesTr" / f"case_{case}_{channel:04d}{ending}", array, geometry)
    places = [text for part in ("raw", "preprocessed", "results") for text in (f"--{part}", str(root / part))]
    assert (
        plan_and_preprocess.main(["-d", "5", "-np", "0", "--no_pbar", "-q", "--preset", "fast", *places]) == 0
    )
    return Planned(root / "preprocessed" / raw.name)


def ball(shape, radius, number=0):
    """True within a ball, `radius` as a share of half the volume, the centre a little off."""
    centre = 0.05 * (number - 1)
    axes = np.ogrid[tuple(slice(0, n) for n in shape)]
    squares = [((2 * axis + 1) / n - 1 - centre) ** 2 for axis, n in zip(axes, shape, strict=True)]
    return sum(squares) < radius**2


def noise(number, shape, sd):
    return np.random.default_rng(number).normal(0, sd, shape)


def test_each_channel_is_scaled_by_its_own_rule(tmp_path):
    shape = (16, 16, 16)

    def draw(number):
        inside = ball(shape, 0.7, number)
        hounsfield = np.where(inside, 50.0, -1000.0) + noise(number, shape, 10)
        uptake = np.where(inside, 3.0 + number, 0.5) + noise(number + 9, shape, 0.1)
        return hounsfield.astype(np.int16), uptake.astype(np.float32)

    planned = plan(tmp_path, draw, channels=("CT", "PET"))
    ct, pet = planned.configuration.normalization
    assert (ct.scheme, pet.scheme) == ("ct_window", "percentile")
    # the same window for every case, each case its own uptake
    inside = [ball(shape, 0.5, number) for number in range(N_CASES)]
    prepared = [planned.case(number).array for number in range(N_CASES)]
    window = ct.window
    wanted = (50 - window[0]) / (window[1] - window[0])
    assert [array[0][mask].mean() for array, mask in zip(prepared, inside, strict=True)] == pytest.approx(
        [wanted] * N_CASES, abs=0.01
    )
    assert all(array[1][mask].mean() > 0.85 for array, mask in zip(prepared, inside, strict=True))
    assert all(array.min() == 0 and array.max() == 1 for array in prepared)


def test_ct_has_one_window_in_which_constant_air_is_0_and_bone_is_1(tmp_path):
    shape = (16, 16, 16)

    def draw(number):
        image = 40 + noise(number, shape, 10)
        # more bone in some cases than in others, and a speck of metal in one
        image[ball(shape, 0.4 + 0.1 * number, number)] = 900
        image[8, 8, 8:11] = 3000 if number == 2 else 900
        # the corners
        image[~ball(shape, 1.3, number)] = -1000
        return (image.astype(np.int16),)

    planned = plan(tmp_path, draw, channels=("CT",))
    (rule,) = planned.configuration.normalization
    # air that is constant at the border is background and takes no part in the window
    assert rule.window == pytest.approx((40 - 2.3 * 10, 900), abs=5)
    for number in range(N_CASES):
        array = planned.case(number).array[0]
        assert array[0, 0, 0] == 0.0
        assert array[8, 8, 8] == 1.0
        tissue = ball(shape, 0.85, number) & ~ball(shape, 0.75, number)
        low, high = rule.window
        assert array[tissue].mean() == pytest.approx((40 - low) / (high - low), abs=0.01)
    assert planned.decision("intensities of 0").value.endswith("to 900 become 0-1")


def test_noisy_air_of_a_ct_is_0_too(tmp_path):
    shape = (16, 16, 16)

    def draw(number):
        image = np.where(ball(shape, 0.8, number), 40.0, -1000.0) + noise(number, shape, 15)
        return (image.astype(np.int16),)

    planned = plan(tmp_path, draw, channels=("CT",))
    low, high = planned.configuration.normalization[0].window
    assert (low, high) == pytest.approx((-1040, 80), abs=15)
    array = planned.case().array[0]
    assert array[0].mean() == pytest.approx((-1000 - low) / (high - low), abs=0.01)
    assert array[0].mean() < 0.05


def test_thick_slices_are_neither_upsampled_nor_pooled_first(tmp_path):
    shape = (8, 32, 32)

    def draw(number):
        return ((100 * ball(shape, 0.7, number) + noise(number, shape, 10)).astype(np.float32),)

    planned = plan(tmp_path, draw, spacing_zyx=(5.0, 1.0, 1.0))
    configuration = planned.configuration
    assert configuration.spacing_zyx_mm == (5.0, 1.0, 1.0)
    assert planned.case().array.shape == (1, *shape)
    assert configuration.diffusion.strides_zyx[0] == (1, 2, 2)
    assert configuration.diffusion.kernel_sizes_zyx[0] == (1, 3, 3)
    assert planned.fingerprint.anisotropy == 5.0


def test_slices_of_other_thickness_are_brought_to_the_planned_one(tmp_path):
    def draw(number):
        shape = (12 if number else 10, 40, 40)
        return ((100 * ball(shape, 0.7, number) + noise(number, shape, 10)).astype(np.float32),)

    planned = plan(tmp_path, draw, spacing_zyx=(4.0, 1.0, 1.0))
    assert [planned.case(number).array.shape[1:] for number in range(N_CASES)] == [
        (10, 40, 40),
        (12, 40, 40),
        (12, 40, 40),
    ]


@pytest.mark.parametrize("voxel_mm", [1.0, 4e-6])
def test_dark_granules_on_bright_ground_are_found_at_any_scale(tmp_path, voxel_mm):
    shape = (24, 24, 24)

    def draw(number):
        image = 200 + noise(number, shape, 5)
        for place in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)):
            corner = tuple(slice(10 * p + 2, 10 * p + 12) for p in place)
            image[corner][ball((10, 10, 10), 0.8, 1)] -= 140
        return (image.clip(0, 255).astype(np.uint8),)

    planned = plan(tmp_path, draw, channels=("EM",), spacing_zyx=(voxel_mm,) * 3)
    case = planned.fingerprint.cases[0]
    # the granules are 8 voxels wide, and less at half of their volume and after smoothing
    assert 4 < case.dark_diameter_mm / voxel_mm < 8
    assert case.dark_diameter_mm < case.bright_diameter_mm
    assert 6 < planned.fingerprint.diameters_mm[0] / voxel_mm < 9
    assert planned.configuration.spacing_zyx_mm == pytest.approx((voxel_mm,) * 3)
    assert planned.case().array.shape == (1, *shape)


def test_a_tomogram_that_is_nearly_all_noise(tmp_path):
    shape = (24, 24, 24)

    def draw(number):
        # density is dark in a cryo-tomogram; membranes and molecules drown in noise
        return ((noise(number, shape, 10) - 4 * ball(shape, 0.7, number)).astype(np.float32),)

    planned = plan(tmp_path, draw, channels=("tomogram",), spacing_zyx=(13.5,) * 3, ending=".mrc")
    fingerprint = planned.fingerprint
    assert fingerprint.snr < 0.3
    # five standard deviations lie between the two percentiles
    assert fingerprint.noise_sd == pytest.approx(1 / 5.15, rel=0.1)
    # ångström, as the file says
    assert fingerprint.median_spacing_zyx_mm == pytest.approx((13.5,) * 3)
    # the more noise there is, the more is added; not more than leaves a volume to be seen
    assert planned.configuration.features.timesteps == (100, 150)
    assert planned.case().properties.geometry.spacing_zyx_mm == pytest.approx((13.5,) * 3)


def test_coloured_noise_of_a_tomogram_is_told_from_its_object(tmp_path):
    shape = (32, 32, 32)

    def draw(number):
        coloured = shaped_noise(1.5, shape, number)
        return ((10 * coloured / coloured.std() - 4 * ball(shape, 0.7, number)).astype(np.float32),)

    planned = plan(tmp_path, draw, channels=("tomogram",), spacing_zyx=(13.5,) * 3, ending=".mrc")
    fingerprint = planned.fingerprint
    share = ball(shape, 0.7).mean()
    assert 0.4 * np.sqrt(share * (1 - share)) < 0.2
    # more than half of the noise is coarser than a voxel; its variance is known to some percent only
    assert fingerprint.snr < 0.3
    assert fingerprint.noise_slope == pytest.approx(-1.5, abs=0.15)
    assert fingerprint.noise_sd < 0.9 * fingerprint.cases[0].channels[0].whole_noise_sd


def test_a_negative_background_is_cropped_and_left_out_of_the_scale(tmp_path):
    shape = (20, 20, 20)

    def draw(number):
        image = np.full(shape, -3024.0)
        inside = ball(shape, 0.6, number)
        image[inside] = (200 * ball(shape, 0.3, number) - 500 + noise(number, shape, 20))[inside]
        return (image.astype(np.float32),)

    planned = plan(tmp_path, draw)
    case = planned.fingerprint.cases[1]
    assert case.crop_shape_zyx == (12, 12, 12)
    assert case.channels[0].percentile_00_5 > -600
    array = planned.case(1).array[0]
    assert array.shape == (12, 12, 12)
    # the corners of the box are background, the ball's own dark voxels are not far above
    assert array[0, 0, 0] == 0.0
    assert array[6, 6, 6] > 0.6


def test_cases_of_several_number_types_and_scales_are_told_and_brought_to_one(tmp_path):
    shape = (16, 16, 16)
    types = ((np.uint8, 1.0), (np.int16, 30.0), (np.float32, 0.01))

    def draw(number):
        kind, scale = types[number]
        image = 20 + 200 * ball(shape, 0.7) + noise(0, shape, 6)
        return ((scale * image).clip(0, None).astype(kind),)

    planned = plan(tmp_path, draw)
    assert {case.source_dtypes for case in planned.fingerprint.cases} == {
        ("uint8",),
        ("int16",),
        ("float32",),
    }
    assert any(text.startswith("number formats differ") for text in planned.fingerprint.warnings)
    assert any("intensities of channel 0 span" in text for text in planned.fingerprint.warnings)
    reference = planned.case(2).array
    for number in (0, 1):
        np.testing.assert_allclose(planned.case(number).array, reference, atol=0.01)
