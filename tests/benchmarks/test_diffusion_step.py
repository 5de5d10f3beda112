import diffusion_step
import pytest
from diffusion_step import OURS, PLAIN, PLAIN_BF16, VARIANTS, Work, matrix_rate, measure


def test_a_step_of_every_variant_is_timed_and_counted():
    work = Work(channels=4, edge=8, batch_size=2)
    found = measure(work, {name: VARIANTS[name] for name in (PLAIN, PLAIN_BF16, OURS)}, "cpu", repeats=2)
    assert found["network"] == "4 channels, 8³, batch 2"
    for name in (PLAIN, PLAIN_BF16, OURS):
        best = min(found["seconds"][name])
        assert len(found["seconds"][name]) == 2 and len(found["losses"][name]) == 3
        assert found["ratio_of_best"][name] == pytest.approx(min(found["seconds"][PLAIN]) / best)
        assert found["volumes_per_second"][name] == pytest.approx(2 / best)
        assert found["tera_operations_per_second"][name] == pytest.approx(
            found["operations_per_step"] / best / 1e12
        )
    assert found["ratio_to_plain_bfloat16"][PLAIN_BF16] == 1
    # the same weights and noise: bfloat16 has 8 bits of mantissa
    assert found["relative_difference_of_first_loss"] < 0.02
    assert found["peak_gb"] == dict.fromkeys(found["losses"])
    assert found["estimated_gb"] == {
        name: work.estimated_gb(VARIANTS[name].bfloat16) for name in found["losses"]
    }
    assert Work(16, 64, 1).estimated_gb(True) < Work(16, 64, 1).estimated_gb(False)


def test_operations_are_those_of_the_convolutions():
    """At least the two of a full-resolution block of four channels, forward and twice backward."""
    work = Work(channels=4, edge=8, batch_size=1)
    found = measure(work, {name: VARIANTS[name] for name in (PLAIN, PLAIN_BF16, OURS)}, "cpu", repeats=1)
    one = 2 * 27 * 4 * 4 * 8**3
    assert 6 * one < found["operations_per_step"] < 30 * one


def test_the_rate_of_a_matrix_product_counts_two_operations_a_term(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(diffusion_step.time, "perf_counter", lambda: float(next(clock)))
    assert matrix_rate("cpu", 4) == pytest.approx(2 * 4**3 / 1e12)


def parameters_by_hand(first):
    """Weights: four convolutions of 3³ per resolution, as many back up, and transposed ones of 2³."""
    widths = [first * 2**i for i in range(4)]
    down = [27 * c * (before + 3 * c) for before, c in zip([1, *widths], widths, strict=False)]
    up = [27 * c * (2 * c + 3 * c) + 8 * 2 * c * c for c in widths[:3]]
    return sum(down) + sum(up)


@pytest.mark.parametrize(("bfloat16", "per_weight", "per_value"), [(False, 16, 4), (True, 20, 2)])
def test_the_estimate_by_hand_has_no_moving_average(bfloat16, per_weight, per_value):
    # channels times voxels of four resolutions from 8³ to 1³, twice
    values = 4 * 512 + 8 * 64 + 16 * 8 + 32 * 1
    wanted = per_weight * parameters_by_hand(4) + 1.25 * 2 * 16.5 * values * per_value
    assert Work(4, 8, 2).estimated_gb(bfloat16) * 1024**3 == pytest.approx(wanted)


def test_the_steps_of_preset_fast_are_those_of_decision_0019(monkeypatch):
    wanted = [(56, 1, None), (56, 2, None), (32, 1, None), (32, 2, None), (32, 4, None), (56, 2, 14)]
    works = diffusion_step.OF_PRESET_FAST
    assert [(work.edge, work.batch_size, work.n_parts) for work in works] == wanted
    assert {work.channels for work in works} == {16}
    tiny = (Work(4, 8, 1), Work(4, 16, 1, n_parts=3))
    monkeypatch.setattr(diffusion_step, "OF_PRESET_FAST", tiny)
    monkeypatch.setattr(diffusion_step, "REPEATS", {"cpu": 1})
    written = {}
    monkeypatch.setattr(diffusion_step, "write_result", written.__setitem__)
    diffusion_step.main(["--preset", "fast"])
    (result,) = written.values()
    assert list(written) == ["step_formats"]
    assert result["command"] == "python benchmarks/diffusion_step.py --preset fast"
    names = ["4 channels, 8³, batch 1", "segmenter of 3 parts, 4 channels, 16³, batch 1"]
    assert [work["network"] for work in result["works"]] == names
    for work in result["works"]:
        assert set(work["seconds"]) == set(VARIANTS) and work["losses"][PLAIN][0] > 0
        # both networks learn
        assert all(losses[0] != losses[1] for losses in work["losses"].values())
        assert work["relative_difference_of_first_loss"] < 0.02
    assert set(result["works"][1]["estimated_gb"].values()) == {None}


def test_the_preset_goes_with_the_cpu(capsys):
    with pytest.raises(SystemExit):
        diffusion_step.main(["--preset", "fast", "--device", "cuda"])
    assert "--preset goes with the CPU" in capsys.readouterr().err
