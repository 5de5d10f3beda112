import itertools

import numpy as np
import pytest

from dataset_conversion.synthcell import VARIANTS, coloured_noise, make_volume
from dd_nnunet.planning import split_gains
from dd_nnunet.planning.noise import smoothed
from dd_nnunet.planning.split_gains import RESOLUTION, best_splits, measure_splits

EDGE = 40
RADIUS = np.sqrt(((np.indices((EDGE,) * 3) - (EDGE - 1) / 2) ** 2).sum(axis=0))
WHITE = np.random.default_rng(0).normal(size=RADIUS.shape)
COLOURS = {"white": 0.0, "pink": 1.0, "brown": 2.0}


def prepared(volume):
    low, high = np.percentile(volume, (0.5, 99.5))
    return smoothed(np.clip((volume - low) / (high - low), 0, 1))


def children(splits):
    return {(s.level, s.part): s.children for s in splits}


def cost(values):
    """Nats per voxel of one kind, and of the whole it is a share of."""
    return np.log(values.var() + RESOLUTION**2) / 2


def test_two_exact_kinds_by_hand():
    # one kind: variance 1/4; two kinds: none left but what counts as none, and log 2 to say which
    (two,) = best_splits(np.repeat([0.0, 1.0], 500), max_children=2)
    assert two.gain == pytest.approx(np.log(0.25 / 0.02**2 + 1) / 2 - np.log(2), abs=0.01)
    assert 0 < two.thresholds[0] <= 1


def test_the_best_cuts_are_those_of_a_slow_search(monkeypatch):
    monkeypatch.setattr(split_gains, "N_BINS", 12)
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(m, 0.05, n) for m, n in ((0.2, 300), (0.5, 200), (0.9, 100))])
    low, high = np.percentile(values, (0.1, 99.9))
    edges = np.linspace(low, high, 13)
    # every voxel at the middle of its bin
    bins = np.clip(np.digitize(values, edges) - 1, 0, 11)
    centres = (edges[:-1] + edges[1:]) / 2
    for n_cuts, found in enumerate(best_splits(values), start=1):
        gains = {}
        for cuts in itertools.combinations(range(1, 12), n_cuts):
            kinds = np.digitize(bins, cuts)
            counts = np.bincount(kinds, minlength=n_cuts + 1)
            if counts.min() >= split_gains.MIN_CHILD_VOXELS:
                shares = counts / len(bins)
                parts = [cost(centres[bins[kinds == k]]) for k in range(n_cuts + 1)]
                gains[cuts] = cost(centres[bins]) - (shares * (parts - np.log(shares))).sum()
        assert found.gain == pytest.approx(max(gains.values()))
        assert found.thresholds == pytest.approx(edges[list(max(gains, key=gains.get))])


def test_gains_are_those_of_the_negative():
    values = np.concatenate([np.random.default_rng(2).normal(m, 0.1, 900) for m in (0.3, 0.6)])
    for mine, theirs in zip(best_splits(values), best_splits(1 - values), strict=True):
        assert mine.gain == pytest.approx(theirs.gain, abs=2e-3)


def test_one_gaussian_gains_nothing_though_k_means_would_explain_64_percent_of_it():
    values = np.random.default_rng(3).normal(0.5, 0.15, 100_000)
    assert max(split.gain for split in best_splits(values)) < 0
    explained = sum((half.mean() - 0.5) ** 2 for half in (values[values < 0.5], values[values >= 0.5])) / 2
    assert explained / values.var() == pytest.approx(2 / np.pi, abs=0.01)


def test_a_bright_twentieth_gains_though_k_means_would_explain_less_than_of_noise():
    rng = np.random.default_rng(4)
    values = np.concatenate([rng.normal(0.3, 0.1, 95_000), rng.normal(0.8, 0.1, 5_000)])
    (two, _) = best_splits(values)
    assert two.gain > 0.1
    assert two.thresholds[0] == pytest.approx(0.6, abs=0.04)
    assert 0.05 * 0.95 * 0.5**2 / values.var() < 2 / np.pi


@pytest.mark.parametrize("colour", COLOURS)
def test_noise_stays_whole(colour):
    for seed in range(3):
        noise = coloured_noise(np.random.default_rng(seed), RADIUS.shape, COLOURS[colour], 1.0)
        (tried,) = measure_splits(prepared(noise))
        assert (tried.level, tried.part, tried.share, tried.children) == (1, 0, 1.0, 1)
        assert tried.gain < 0


def test_skewed_noise_stays_whole():
    for noise in (np.hypot(WHITE, WHITE[::-1]), np.exp(WHITE)):
        assert children(measure_splits(prepared(noise))) == {(1, 0): 1}


def test_a_wave_gains_but_not_more_than_its_surrogates():
    wave = np.cos(2 * np.pi * np.indices(RADIUS.shape)[0] / EDGE)
    (tried,) = measure_splits(prepared(wave + 0.3 * WHITE))
    assert tried.chance > tried.gain > 0.2
    assert tried.children == 1


def test_a_ball_is_split_from_its_ground_and_both_stay_whole():
    found = measure_splits(prepared(2 * (RADIUS < 11) + WHITE))
    assert children(found) == {(1, 0): 2, (2, 0): 1, (2, 1): 1}
    assert found[0].gain > 0.3 > 0.05 > found[0].chance
    assert found[2].share == pytest.approx((RADIUS < 11).mean(), rel=0.1)


def test_the_part_that_owns_the_border_is_part_0_be_it_bright_or_dark_and_the_smaller_one():
    box = np.pad(np.ones((34, 34, 34)), 3)
    for sign in (1, -1):
        found = measure_splits(prepared(sign * 3 * box + WHITE))
        assert next(s.share for s in found if s.level == 2) == pytest.approx(1 - 34**3 / 40**3, rel=0.05)


def test_a_ball_in_a_ball_is_split_where_it_lies():
    found = measure_splits(prepared(2.0 * (RADIUS < 16) + 2.0 * (RADIUS < 9) + WHITE))
    # part 1 is the larger of the two that do not own the border: the shell
    assert children(found) == {
        (1, 0): 2, (2, 0): 1, (2, 1): 2, (3, 0): 1, (3, 1): 1, (3, 2): 1,
    }  # fmt: skip
    shell = ((RADIUS < 16) & (RADIUS >= 9)).mean()
    assert found[4].share == pytest.approx(shell, rel=0.15)


def test_three_kinds_of_one_calibre_are_split_at_once():
    thirds = np.indices(RADIUS.shape)[0] * 3 // EDGE
    found = measure_splits(prepared(4.0 * thirds + WHITE))
    assert children(found)[1, 0] == 3


def test_a_cell_is_split_and_then_only_the_cell():
    found = measure_splits(prepared(make_volume(VARIANTS["regular"], 7001, 1).image))
    assert [s.children for s in found if s.level < 3] == [2, 1, 2]


def test_the_same_volume_gives_the_same_numbers():
    volume = prepared(2 * (RADIUS < 11) + WHITE)
    assert measure_splits(volume) == measure_splits(volume.copy())


@pytest.mark.parametrize(
    "volume", [np.full((9, 9, 9), 0.5), np.zeros((4, 5, 6)), np.indices((1, 1, 30))[2] / 30], ids=str
)
def test_what_is_constant_or_tiny_is_not_tried(volume):
    assert measure_splits(smoothed(volume)) == ()


def test_a_single_slice_is_measured():
    disc = np.hypot(*(np.indices((1, 60, 60))[1:] - 29.5)) < 12
    noisy = 3.0 * disc + np.random.default_rng(0).normal(size=disc.shape)
    assert children(measure_splits(prepared(noisy)))[1, 0] == 2


@pytest.mark.slow
@pytest.mark.parametrize("colour", COLOURS)
def test_surrogates_are_beaten_by_chance_in_a_twentieth_of_noise_volumes(colour, monkeypatch):
    """The rank of a volume without parts among its 19 surrogates is uniform: 5 % are first."""
    monkeypatch.setattr(split_gains, "MAX_LEVELS", 1)
    beaten = 0
    for seed in range(200):
        noise = coloured_noise(np.random.default_rng(seed), (24, 24, 24), COLOURS[colour], 1.0)
        (tried,) = measure_splits(smoothed(0.5 + 0.15 * noise))
        beaten += tried.gain > tried.chance
    # 10 expected, sd 3.1
    assert beaten <= 20
