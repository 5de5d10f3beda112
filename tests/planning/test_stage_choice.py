import pytest

from dd_nnunet.core.plan import DiffusionPlan
from dd_nnunet.planning.stage_choice import (
    cell_size_mm,
    choose_stages,
    choose_timesteps,
    denoising_helps,
    diameter_of_level,
    noise_after_averaging,
)

PAPER = DiffusionPlan((64, 128, 256, 512), ((2, 2, 2),) * 3, ((3, 3, 3),) * 4, 250, 4, 50_000, 1e-4, 0.995)


def test_cells_of_the_four_stages():
    assert [cell_size_mm(PAPER, stage, (1.0, 1.0, 1.0)) for stage in (1, 2, 3, 4)] == pytest.approx(
        [8, 4, 2, 1]
    )
    assert cell_size_mm(PAPER, 3, (4.0, 1.0, 2.0)) == pytest.approx(2 * 2)


def test_the_papers_diagonal():
    # a third of 40, 10, 5 voxels is 13.3, 3.3, 1.7: nearest of 8, 4, 2, 1 are 8, 4, 2
    assert choose_stages((8, 4, 2, 1), (40, 10, 5)) == (1, 2, 3)


def test_stages_never_get_coarser_with_depth():
    assert choose_stages((8, 4, 2, 1), (6, 24, 3)) == (3, 3, 4)


def test_of_two_equally_near_stages_the_coarser_wins():
    # a third of 6·sqrt(2) is 2·sqrt(2), as far from 4 as from 2
    assert choose_stages((4, 2), (6 * 2**0.5,)) == (1,)


def test_levels_beyond_the_measured_ones_halve_the_last_diameter():
    assert [diameter_of_level((40.0, 10.0), level) for level in (1, 2, 3, 4)] == [40, 10, 5, 2.5]


def test_the_noise_of_the_synthetic_cells_gives_timesteps_50_to_75():
    first, second = choose_timesteps(0.078, 250)
    assert 50 <= first <= 75
    assert second == round(1.5 * first)


@pytest.mark.parametrize(("noise_sd", "first"), [(0.0, 25), (0.001, 25), (0.5, 100)])
def test_timesteps_stay_within_a_tenth_and_four_tenths(noise_sd, first):
    assert choose_timesteps(noise_sd, 250) == (first, round(1.5 * first))


def test_timesteps_scale_with_the_schedule():
    assert choose_timesteps(0.0, 1000) == (100, 150)


def test_averaging_leaves_the_noise_below_the_new_cut_off():
    # white: the mean of 2 x 2 x 2 voxels; pink: share 2^-2 of the power; brown and smoother: all of it
    assert noise_after_averaging(0.1, 0.0, 2.0) == pytest.approx(0.1 / 8**0.5)
    assert noise_after_averaging(0.1, -1.0, 2.0) == pytest.approx(0.05)
    assert noise_after_averaging(0.1, -4.0, 2.0) == 0.1
    assert noise_after_averaging(0.1, 0.0, 1.0) == 0.1


@pytest.mark.parametrize(("noise_sd", "helps"), [(0.0, False), (0.0292, False), (0.0298, True), (0.3, True)])
def test_denoising_helps_from_a_third_of_what_the_earliest_timestep_adds(noise_sd, helps):
    # t = 25 of 250 adds noise of sd 0.088 in units of [0,1]: a third is 0.0295
    assert denoising_helps(noise_sd, 250) == helps
