"""`-pl paper` says where memory, or the size of the volumes, makes it another than the paper's."""

import pytest
from golden_plans import CELLS, isotropic
from made_fingerprint import make_description

from dd_nnunet.planning.paper_departures import NOT_AS_IN_THE_PAPER
from dd_nnunet.planning.plan_dataset import plan_dataset
from dd_nnunet.planning.presets import Budget

COARSER = "a coarser -overwrite_target_spacing"


def departures(fingerprint, gb, preset="paper", **budget):
    budget = Budget(gpu_memory_target_gb=gb, preset=preset, **budget)
    decisions = plan_dataset("D", fingerprint, make_description(), budget).decisions
    return [(d.value, d.because) for d in decisions if d.name == NOT_AS_IN_THE_PAPER]


# At 56 x 56 x 56, channel-voxels are 64 * 56**3 + 128 * 28**3 + 256 * 14**3 + 512 * 7**3 = 14 927 360, so a volume
# of a batch takes 1.25 * 16.5 * 4 bytes times that, 1.1469 GB. Each of 45 835 968 parameters takes 20 bytes with its
# gradient, moments and mean, 0.8538 GB. So four volumes need 5.4415 GB, three 4.2946, two 3.1476.
@pytest.mark.parametrize(
    ("gb", "said"),
    [
        (8, None),
        (5.45, None),
        (5.44, "diffusion batch size 3 instead of 4"),
        (4.3, "diffusion batch size 3 instead of 4"),
        (4.29, "diffusion batch size 2 instead of 4"),
    ],
)
def test_fewer_volumes_of_a_batch(gb, said):
    because = f"-gpu_memory_target is {gb:g} GB; give at least 5.45"
    assert departures(CELLS, gb) == ([(said, because)] if said else [])


def test_each_departure_is_named():
    patch = "patch size 32 x 32 x 32 instead of 56 x 56 x 56"
    channels = "diffusion channels 32 64 128 256 instead of 64 128 256 512"
    batch = "diffusion batch size 3 instead of 4"
    because = f"-gpu_memory_target is 0.6 GB; give at least 5.45, or {COARSER}"
    assert departures(CELLS, 0.6) == [(f"{patch}, {channels}, {batch}", because)]


def test_volumes_of_more_voxels_than_any_patch():
    # 260 rounded up to a multiple of 64 would be 320; a patch stops at 256
    because = f"no patch is planned of more than 256³ voxels, whatever the memory; give {COARSER}"
    said = "patches of at most 256 x 256 x 256 instead of whole volumes of 260 x 260 x 260"
    assert departures(isotropic(260, (40.0,), 5), 1000) == [(said, because)]
    assert departures(isotropic(256, (40.0,), 5), 1000) == []


@pytest.mark.parametrize("preset", ["fast", "standard"])
def test_other_presets_are_not_compared_with_the_paper(preset):
    assert departures(isotropic(260, (40.0,), 5), 1, preset) == []


def test_departures_that_were_asked_for_are_not_told():
    assert departures(CELLS, 80, as_released=("resize64", "small_segmenter"), parts=(3,), stages=(2,)) == []
