import pytest
from golden_plans import CT
from made_fingerprint import make_channel, make_fingerprint

from dd_nnunet.core.plan import NormalizationPlan
from dd_nnunet.planning.normalization import explain_normalization, plan_normalization

PERCENTILE = NormalizationPlan("percentile", 0.5, 99.5)
WINDOW = NormalizationPlan("ct_window", 0.5, 99.5, (-1000.0, 1200.0))


def test_each_channel_has_its_own_rule():
    assert plan_normalization(("ct", "PET"), CT) == (WINDOW, PERCENTILE)
    assert plan_normalization(("PET", "CTV"), CT) == (PERCENTILE, PERCENTILE)


def test_a_ct_without_range_has_no_window():
    flat = make_fingerprint([(9, 9, 9)], [(1.0,) * 3], channels=(make_channel(percentiles=(5.0,) * 5),))
    assert plan_normalization(("CT",), flat) == (PERCENTILE,)
    (told,) = explain_normalization(("CT",), (PERCENTILE,))
    assert told.because.startswith("no window: in most cases the window's ends are the same")


def test_channels_that_differ_are_told_apart():
    (alike,) = explain_normalization(("a", "b"), (PERCENTILE, PERCENTILE))
    assert (alike.name, alike.value) == ("intensities", "percentiles 0.5-99.5 become 0-1")
    ct, pet = explain_normalization(("CT", "PET"), (WINDOW, PERCENTILE))
    assert (ct.name, ct.value) == ("intensities of 0", "-1000 to 1200 become 0-1")
    assert pet.name == "intensities of 1" and pet.because.startswith("channel PET")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (("percentile", 99.5, 0.5), "must rise within 0–100"),
        (("percentile", -1.0, 99.0), "must rise within 0–100"),
        (("ct_window", 0.5, 99.5), 'window belongs to the scheme "ct_window"'),
        (("percentile", 0.5, 99.5, (0.0, 1.0)), 'window belongs to the scheme "ct_window"'),
        (("ct_window", 0.5, 99.5, (3.0, 3.0)), "its second intensity must be the larger one"),
    ],
)
def test_impossible_rules_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        NormalizationPlan(*fields)
