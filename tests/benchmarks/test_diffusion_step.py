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
