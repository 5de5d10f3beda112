from dataclasses import replace

import pytest
import torch
from small_dataset import make_trainable
from small_fold import CONFIGURATION, make_setup

from dd_nnunet.training import probe
from dd_nnunet.training.probe import ExpectedTime, expect_time


@pytest.fixture
def setup(tmp_path):
    return make_setup(tmp_path / "cases")


@pytest.fixture
def counted(monkeypatch):
    """Every step and pass takes a second, as far as the probe can tell."""
    monkeypatch.setattr(probe, "_seconds", lambda work, budget_s: 1.0)


def test_what_is_counted(setup, counted, monkeypatch):
    monkeypatch.setattr(probe, "SHORT_SECONDS", 0.0)
    # 4 iterations; 4 training cases of one tile, 1 timestep, 1 draw, batches of 2; 2 levels of 4 epochs of 3 steps,
    # after each of which 4 cases are looked at, and 4 patches three times; 2 validation cases of one tile and 8
    # mirrored copies at 2 levels
    expected = expect_time(setup, CONFIGURATION.groups, with_diffusion=True)
    iterations = CONFIGURATION.diffusion.iterations
    assert expected == ExpectedTime(iterations, 4 * 1 / 2, 2 * 4 * (3 + 4 + 12), 2 * 2 * 8)


def test_steps_with_and_without_the_photometric_twin_are_told_apart(setup, monkeypatch):
    """By a clock by which a step takes as many seconds as its batch has volumes."""
    monkeypatch.setattr(probe, "SHORT_SECONDS", 0.0)
    monkeypatch.setattr(probe, "_training_step", lambda network, batch, *_: float(len(batch)))
    monkeypatch.setattr(probe, "_pass", lambda *_: 0.0)
    monkeypatch.setattr(probe, "_seconds", lambda work, budget_s: work)
    for interval, seconds in ((1, 4.0), (4, (4 + 3 * 2) / 4)):
        segmenter = replace(CONFIGURATION.segmenter, batch_size=2, invariance_interval=interval)
        changed = replace(setup, configuration=replace(CONFIGURATION, segmenter=segmenter))
        expected = expect_time(changed, CONFIGURATION.groups[:1], with_diffusion=False)
        # 4 epochs of 3 steps
        assert expected.levels == pytest.approx(4 * 3 * seconds)


def test_what_is_left_out(setup, counted, monkeypatch):
    monkeypatch.setattr(probe, "SHORT_SECONDS", 0.0)
    only_levels = expect_time(setup, CONFIGURATION.groups[:1], with_diffusion=False)
    assert (only_levels.diffusion, only_levels.levels) == (0, 4 * (3 + 4 + 12))
    only_diffusion = expect_time(setup, (), with_diffusion=True)
    assert (only_diffusion.levels, only_diffusion.features, only_diffusion.validation) == (0, 0, 0)


def test_larger_volumes_take_more_tiles(setup, counted, monkeypatch):
    monkeypatch.setattr(probe, "SHORT_SECONDS", 0.0)
    large = replace(setup, configuration=replace(CONFIGURATION, median_shape_zyx=(32, 16, 16)))
    once, twice = (expect_time(s, CONFIGURATION.groups, with_diffusion=False) for s in (setup, large))
    # tiles of 16 at steps of 8: three along z
    assert twice.validation == 3 * once.validation


def test_a_short_training_says_nothing(setup):
    assert expect_time(setup, CONFIGURATION.groups, with_diffusion=True) is None


def test_the_random_numbers_of_training_are_left_alone(setup):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    expect_time(setup, CONFIGURATION.groups, with_diffusion=True)
    assert torch.equal(torch.rand(4), expected)


def test_the_time_of_some_work():
    done = []
    assert probe._seconds(lambda: done.append(1), budget_s=0.0) >= 0
    # once to warm up, once timed
    assert len(done) == 2


def test_the_probe_takes_three_seconds_and_a_step_of_each(setup, monkeypatch):
    """By a clock that only the work moves, a tenth of a second each time."""
    clock = [0.0]
    monkeypatch.setattr(probe.time, "perf_counter", lambda: clock[0])
    work_of = probe._seconds

    def tick(work, budget_s):
        def step():
            clock[0] += 0.1

        return work_of(step, budget_s)

    monkeypatch.setattr(probe, "_seconds", tick)
    monkeypatch.setattr(probe, "SHORT_SECONDS", 0.0)
    expected = expect_time(setup, CONFIGURATION.groups, with_diffusion=True)
    # four probes of 0.75 s in steps of 0.1 s, and before each one step to warm up; a first look of two steps each
    assert clock[0] == pytest.approx(4 * (0.8 + 0.1) + 4 * 0.2)
    assert expected.diffusion == pytest.approx(0.1 * CONFIGURATION.diffusion.iterations)


def test_the_line_on_screen():
    line = ExpectedTime(diffusion=240.0, features=0.0, levels=90.0, validation=30.0).line()
    assert (
        line == "about 6 minutes on this machine by a short probe: diffusion 4.0, levels 1.5, validation 0.5"
    )


def test_the_command_says_it_on_a_cpu_but_not_with_q(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(probe, "SHORT_SECONDS", 0.0)
    trainable = make_trainable(tmp_path, monkeypatch)
    assert trainable.train() == 0
    assert "minutes on this machine by a short probe: diffusion " in capsys.readouterr().out
    assert trainable.train("--fresh", "-q") == 0
    assert "short probe" not in capsys.readouterr().out
