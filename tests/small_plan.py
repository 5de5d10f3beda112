"""The one tiny plan, made by hand: 6 steps of diffusion training, and two epochs of three steps per level."""

from dataclasses import replace

from made_fingerprint import make_fingerprint

from dd_nnunet.core.plan import (
    ConfigurationPlan,
    DiffusionPlan,
    FeaturePlan,
    LevelPlan,
    NormalizationPlan,
    Plan,
    SegmenterPlan,
)
from dd_nnunet.storage.atomic import read_json, write_json

NAME = "Dataset007_Cells"
SHAPE = (12, 14, 16)
SPACING_ZYX_MM = (2.0, 1.0, 1.0)
DESCRIPTION = {
    "channel_names": {"0": "light"},
    "labels": {"background": 0, "cell": 1, "nucleus": 2},
    "levels": {
        "level1": {"background": [0], "cell": [1, 2]},
        "level2": {"background": [0], "cytoplasm": [1], "nucleus": [2]},
    },
    "numTraining": 5,
    "file_ending": ".nii.gz",
}
FINGERPRINT = make_fingerprint([SHAPE] * 5, [SPACING_ZYX_MM] * 5, diameters_mm=(8.0,))
KERNELS = ((3, 3, 3), (3, 3, 3))
PERCENTILES = NormalizationPlan("percentile", 0.5, 99.5)
CONFIGURATION = ConfigurationPlan(
    spacing_zyx_mm=SPACING_ZYX_MM,
    median_shape_zyx=SHAPE,
    patch_size_zyx=SHAPE,
    normalization=(PERCENTILES,),
    precision="float32",
    diffusion=DiffusionPlan((8, 16), ((2, 2, 2),), KERNELS, 250, 1, 6, 1e-4, 0.9),
    features=FeaturePlan((50,), 1, "standardise", 0, "denoised"),
    segmenter=SegmenterPlan(
        (8, 16), ((1, 1, 1), (2, 2, 2)), KERNELS, 1, 1, 2, 3, 1, 1e-3, 1.0, 1.0, 1.0, True, (0.9, 1.1)
    ),
    levels=(LevelPlan(1, 2, (1,)), LevelPlan(2, 3, (2,))),
    gpu_memory_target_gb=8.0,
    estimated_gpu_memory_gb=1.0,
)


def make_configuration(diffusion=(), features=(), segmenter=(), **changes):
    """The tiny configuration with other values; those of its three plans as dictionaries."""
    return replace(
        CONFIGURATION,
        diffusion=replace(CONFIGURATION.diffusion, **dict(diffusion)),
        features=replace(CONFIGURATION.features, **dict(features)),
        segmenter=replace(CONFIGURATION.segmenter, **dict(segmenter)),
        **changes,
    )


def configuration_at(spacing_zyx_mm, n_channels=1):
    """To prepare volumes of any channels at any spacing."""
    return make_configuration(spacing_zyx_mm=spacing_zyx_mm, normalization=(PERCENTILES,) * n_channels)


AT_1_MM = configuration_at((1.0, 1.0, 1.0))


def make_plan(**changes):
    """The tiny plan, its configuration with other values."""
    configurations = {"3d_fullres": make_configuration(**changes)}
    return Plan(NAME, "ddPlans", "default", "fast", ("light",), configurations, ())


def shorten_plan(path, iterations, iterations_per_epoch):
    """Make a plan that a command has written small, by hand as a user would: two epochs, narrow networks."""
    plan = read_json(path)
    planned = plan["configurations"]["3d_fullres"]
    diffusion, segmenter = planned["diffusion"], planned["segmenter"]
    diffusion |= {"iterations": iterations, "channels": _narrow(diffusion["channels"])}
    segmenter |= {"epochs": 2, "iterations_per_epoch": iterations_per_epoch, "warm_start_epochs": 1}
    segmenter["features_per_stage"] = _narrow(segmenter["features_per_stage"])
    planned["features"]["n_draws"] = 1
    write_json(path, plan)


def _narrow(channels):
    return [4 * 2**stage for stage in range(len(channels))]
