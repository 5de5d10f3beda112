import itertools

import numpy as np
import pytest
from made_fingerprint import make_case, make_description, make_fingerprint

from dd_nnunet.core.case import Geometry, Volume
from dd_nnunet.planning.fingerprinting import fingerprint_case
from dd_nnunet.planning.plan_dataset import plan_dataset
from dd_nnunet.planning.presets import Budget
from dd_nnunet.planning.symmetry import explain_left_right, mirror_correlations


def test_by_hand():
    z, y, x = np.indices((3, 4, 5), dtype=float)
    # even about the middle along z, odd along y, and neither along x
    volume = (z - 1) ** 2 * (y - 1.5) * x
    correlations = mirror_correlations(volume)
    assert correlations[0] == pytest.approx(1.0)
    assert correlations[1] == pytest.approx(-1.0)
    expected = np.corrcoef(volume.ravel(), volume[:, :, ::-1].ravel())[0, 1]
    assert correlations[2] == pytest.approx(expected)
    assert abs(expected) < 0.9


def test_noise_is_not_symmetric_and_a_constant_has_no_answer():
    noise = np.random.default_rng(0).normal(size=(20, 20, 20))
    assert mirror_correlations(noise) == pytest.approx((0, 0, 0), abs=0.05)
    assert mirror_correlations(np.ones((3, 3, 3))) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("orientation", "axis"),
    [("LPS", 2), ("RAS", 2), ("PIR", 0), ("ALS", 1), ("", None), ("LRS", None), ("PSA", None)],
)
def test_the_axis_of_left_and_right_by_hand(orientation, axis):
    case = make_case(orientation=orientation, mirror_correlation_zyx=(0.1, 0.2, 0.3))
    assert case.left_right_axis == axis
    assert case.left_right_correlation == (None if axis is None else (0.1, 0.2, 0.3)[axis])


def test_left_and_right_are_found_however_the_body_is_stored():
    head, feet = np.random.default_rng(0).random((2, 6, 10, 7)).astype(np.float32)
    # [S,P,L], each half of 7 the mirror image of the other, nothing else symmetric
    body = np.concatenate([np.concatenate([a, a[..., -2::-1]], axis=2) for a in (head, feet)])
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            case = fingerprint_case(stored(body, order, signs), "x")
            assert case.left_right_correlation == pytest.approx(1.0, abs=1e-6)
            others = [c for n, c in enumerate(case.mirror_correlation_zyx) if n != case.left_right_axis]
            assert max(others) < 0.5


def stored(body, order, signs):
    """A volume whose array axes are those of [S,P,L] in another order, some turned round."""
    array = np.ascontiguousarray(body.transpose(order)[tuple(slice(None, None, sign) for sign in signs)])
    direction = np.zeros((3, 3))
    for axis, (of_body, sign) in enumerate(zip(order, signs, strict=True)):
        # rows are L, P, S; columns are the file's axes x, y, z
        direction[2 - of_body, 2 - axis] = sign
    geometry = Geometry(array.shape[::-1], (1.0,) * 3, (0.0,) * 3, tuple(direction.ravel()))
    return Volume(array[None], geometry, ("float32",))


def test_nothing_is_said_of_sides_where_the_files_say_nothing():
    body = stored(np.random.default_rng(0).random((8, 8, 8)).astype(np.float32), (0, 1, 2), (1, 1, 1))
    silent = Volume(body.array, body.geometry, body.source_dtypes, oriented=False)
    assert fingerprint_case(body, "x").orientation == "LPS"
    case = fingerprint_case(silent, "x")
    assert (case.orientation, case.left_right_axis, case.left_right_correlation) == ("", None, None)
    decision = explain_left_right([case], "full")
    assert decision.value == "unknown"
    assert decision.because.startswith("the files state no orientation; training mirrors every axis")


def test_the_decision_by_hand():
    cases = [
        make_case(0, orientation="LPS", mirror_correlation_zyx=(0.0, 0.0, 0.9)),
        make_case(1, orientation="LPS", mirror_correlation_zyx=(0.0, 0.0, 0.7)),
        make_case(2, orientation="PIR", mirror_correlation_zyx=(0.6, 0.0, 0.0)),
        make_case(3, orientation="", mirror_correlation_zyx=(0.0, 0.0, 0.0)),
    ]
    decision = explain_left_right(cases, "plain")
    assert decision.value == "along array axis x or z, mirror correlation 0.70"
    assert decision.because == (
        "by the orientation that the files state: LPS (2 cases), PIR (1 case); "
        "training mirrors nothing, so that parts may be of one side only"
    )


def test_the_plan_holds_it_and_the_paper_mirrors_nothing():
    fingerprint = make_fingerprint([(50, 50, 50)] * 5, [(1.0, 1.0, 1.0)] * 5)
    for preset, said in (("fast", "training mirrors every axis"), ("paper", "training mirrors nothing")):
        plan = plan_dataset("Dataset001_X", fingerprint, make_description(), Budget(preset=preset))
        (decision,) = (each for each in plan.decisions if each.name == "left and right")
        assert decision.value == "along array axis x, mirror correlation 0.50"
        assert said in decision.because
