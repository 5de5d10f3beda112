import math
from dataclasses import replace

import pytest
from golden_plans import HARDWARE, HUGE, isotropic
from made_fingerprint import make_description

from dd_nnunet.planning.low_resolution import coarsen, needs_low_resolution, patch_edge_mm, share_levels
from dd_nnunet.planning.networks import Task, fits_whole
from dd_nnunet.planning.plan_dataset import plan_dataset
from dd_nnunet.planning.presets import PRESETS, Budget

FAST, BUDGET = PRESETS["fast"], Budget(preset="fast", **HARDWARE)
CUBE = Task((1.0, 1.0, 1.0), (512, 512, 512), n_inputs=1, n_parts=4, bytes_per_value=4)


def plan(fingerprint, **budget):
    return plan_dataset(
        "D", fingerprint, make_description(), Budget(**({"preset": "fast"} | HARDWARE | budget))
    )


def test_more_than_four_patches_are_many():
    assert not needs_low_resolution((64, 64, 128), (32, 32, 128), n_levels=2)
    assert needs_low_resolution((64, 64, 129), (32, 32, 128), n_levels=2)
    assert not needs_low_resolution((512, 512, 512), (64, 64, 64), n_levels=1)


def test_the_coarser_volume_is_one_patch_and_no_coarser_than_that_takes():
    coarser = coarsen(CUBE, FAST, BUDGET)
    assert fits_whole(coarser, FAST, BUDGET)
    assert math.prod(coarser.median_shape_zyx) <= 64**3
    finer = tuple(s / 1.03 for s in coarser.spacing_zyx_mm)
    shape = tuple(round(512 / s) for s in finer)
    assert not fits_whole(replace(CUBE, spacing_zyx_mm=finer, median_shape_zyx=shape), FAST, BUDGET)
    # the box of space stays the same
    assert coarser.median_shape_zyx[0] * coarser.spacing_zyx_mm[0] == pytest.approx(512, rel=0.01)


def test_finer_axes_grow_first_until_none_is_over_twice_as_coarse():
    thick = replace(CUBE, spacing_zyx_mm=(5.0, 0.8, 0.8), median_shape_zyx=(60, 512, 512))
    z, y, x = coarsen(thick, FAST, BUDGET).spacing_zyx_mm
    assert z >= 5.0 and y == x
    assert 1 <= z / y <= 2 * 1.03


def test_memory_bounds_the_coarser_volume_too():
    little = replace(BUDGET, gpu_memory_target_gb=0.1)
    assert coarsen(CUBE, FAST, little).spacing_zyx_mm > coarsen(CUBE, FAST, BUDGET).spacing_zyx_mm


def test_a_rod_that_would_get_too_thin_has_no_coarser_volume():
    rod = replace(CUBE, median_shape_zyx=(20_000, 8, 8))
    assert coarsen(rod, FAST, BUDGET) is None


@pytest.mark.parametrize(
    ("diameters", "low", "full"),
    [
        # half of the patch is 32 mm, six coarse voxels are 24 mm
        ((300.0, 33.0, 10.0), (1, 2), (3,)),
        ((300.0, 32.0, 10.0), (1,), (2, 3)),
        ((300.0, 200.0), (1,), (2,)),
        ((300.0, 200.0, 100.0), (1, 2), (3,)),
    ],
)
def test_wide_objects_are_found_at_the_low_resolution(diameters, low, full):
    assert share_levels(diameters, patch_mm=64.0, coarse_mm=4.0) == (low, full)


def test_objects_of_few_coarse_voxels_are_not():
    assert share_levels((300.0, 33.0, 10.0), patch_mm=64.0, coarse_mm=6.0) == ((1,), (2, 3))


def test_the_shortest_edge_of_a_patch():
    assert patch_edge_mm((10, 64, 64), (5.0, 1.0, 1.0)) == 50


def test_both_configurations_share_the_levels():
    made = plan(HUGE, parts=(2, 4, 8), fast_bf16=True)
    levels = {name: [n.level for n in c.levels] for name, c in made.configurations.items()}
    assert levels == {"3d_lowres": [1, 2], "3d_fullres": [3]}
    low = made.configuration("3d_lowres")
    assert all(p >= n for p, n in zip(low.patch_size_zyx, low.median_shape_zyx, strict=True))
    (decision,) = [d for d in made.decisions if d.name == "configurations"]
    assert decision.value == "3d_lowres: level 1 2; 3d_fullres: level 3"
    assert "512 patches" in decision.because


def test_no_second_configuration_without_need():
    assert list(plan(isotropic(64, (40.0, 10.0))).configurations) == ["3d_fullres"]
    assert list(plan(HUGE, parts=(2,)).configurations) == ["3d_fullres"]
    assert list(plan(HUGE, preset="paper").configurations) == ["3d_fullres"]


def test_averaged_noise_brings_earlier_timesteps():
    made = plan(HUGE, parts=(2, 4, 8))
    low, full = (made.configuration(name).features.timesteps[0] for name in ("3d_lowres", "3d_fullres"))
    assert low < full
