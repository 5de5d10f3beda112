"""Which decisions a plan no longer follows, because a value in it was edited by hand."""

import math
from collections.abc import Iterator, Sequence

from dd_nnunet.core.plan import ConfigurationPlan, Decision, Plan, Zyx
from dd_nnunet.planning.normalization import explain_normalization
from dd_nnunet.planning.plan_dataset import FULL_RESOLUTION
from dd_nnunet.planning.reasons import (
    KEPT_BY_PAPER,
    KEPT_EPOCHS,
    OWN_MEANS,
    explain_effort,
    explain_nesting,
    explain_reading,
    kept_features,
    levels_from_objects,
    product,
    shared_levels,
)

Stated = Iterator[tuple[str, str]]


def edited_values(plan: Plan) -> dict[Decision, str]:
    """The decisions whose value the plan has no longer, each with the value it has, in the same words.

    Decisions about what is measured or estimated (the median shape, the memory of a step) are not compared.
    """
    stated = {("", name): value for name, value in _of_plan(plan)}
    for configuration_name, configuration in plan.configurations.items():
        stated.update({(configuration_name, name): value for name, value in _of_configuration(configuration)})
    values = ((decision, stated.get((decision.configuration, decision.name))) for decision in plan.decisions)
    return {decision: value for decision, value in values if value not in (None, decision.value)}


def _of_plan(plan: Plan) -> Stated:
    levels = [level for configuration in plan.configurations.values() for level in configuration.levels]
    levels.sort(key=lambda level: level.level)
    yield "preset", plan.preset
    yield "parts per level", _words([level.n_parts for level in levels])
    yield (
        "configurations",
        shared_levels(
            {name: [level.level for level in its.levels] for name, its in plan.configurations.items()}
        ),
    )
    full = plan.configurations.get(FULL_RESOLUTION)
    if full is not None:
        yield "target spacing", f"{product(full.spacing_zyx_mm)} mm"
        yield "precision", full.precision
        explained = [
            *explain_normalization(plan.channel_names, full.normalization),
            *explain_reading(full.reading),
        ]
        yield from ((decision.name, decision.value) for decision in explained)


def _of_configuration(configuration: ConfigurationPlan) -> Stated:
    diffusion, features, segmenter = configuration.diffusion, configuration.features, configuration.segmenter
    halvings = f"{_halvings(segmenter.strides_zyx)} (diffusion {_halvings(diffusion.strides_zyx)})"
    yield "spacing", f"{product(configuration.spacing_zyx_mm)} mm"
    yield "patch size", product(configuration.patch_size_zyx)
    yield "down-samplings", halvings
    yield "diffusion channels", _words(diffusion.channels)
    yield "segmenter channels", _words(segmenter.features_per_stage)
    yield "diffusion batch size", str(diffusion.batch_size)
    yield "segmenter batch size", str(segmenter.batch_size)
    yield "timesteps", _words(features.timesteps)
    yield "features", kept_features(features)
    yield "visual target", features.visual_target
    for level in configuration.levels:
        yield f"stage of level {level.level}", f"{_words(level.stages)} of {diffusion.n_stages}"
    yield "levels from objects", levels_from_objects(configuration.objects)
    yield "own means", OWN_MEANS if segmenter.own_means else "not looked at"
    yield "recipe", segmenter.recipe
    yield "kept epoch", KEPT_BY_PAPER if segmenter.kept_epoch == "certain" else KEPT_EPOCHS["alive"]
    yield "parent of each part", "none: a network per level"  # unless levels nest
    yield from ((decision.name, decision.value) for decision in explain_nesting(configuration.groups, ""))
    yield "warm start", "none"  # unless there is one
    yield from ((decision.name, decision.value) for decision in explain_effort(diffusion, segmenter, ""))


def _words(values: Sequence[int]) -> str:
    return " ".join(map(str, values))


def _halvings(strides_zyx: Sequence[Zyx]) -> int:
    return sum(math.prod(stride) > 1 for stride in strides_zyx)
