"""From a fingerprint to a plan: every choice with its reason."""

import math
from dataclasses import replace

from dd_nnunet.core.dataset import DatasetDescription
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.fingerprint import DatasetFingerprint
from dd_nnunet.core.plan import ConfigurationPlan, Decision, NormalizationPlan, Plan
from dd_nnunet.planning.configuration import DatasetChoices, plan_configuration
from dd_nnunet.planning.levels import choose_parts
from dd_nnunet.planning.low_resolution import (
    MOST_PATCHES,
    coarsen,
    needs_low_resolution,
    patch_edge_mm,
    share_levels,
)
from dd_nnunet.planning.networks import Task
from dd_nnunet.planning.normalization import MIN_MAX, explain_normalization, plan_normalization
from dd_nnunet.planning.object_levels import object_levels
from dd_nnunet.planning.presets import PAPER, Budget
from dd_nnunet.planning.reasons import explain_paper, explain_reading, product, shared_levels
from dd_nnunet.planning.resolution import median_shape, target_spacing
from dd_nnunet.planning.symmetry import explain_left_right

FULL_RESOLUTION = "3d_fullres"
LOW_RESOLUTION = "3d_lowres"


def plan_dataset(
    dataset_name: str, fingerprint: DatasetFingerprint, description: DatasetDescription, budget: Budget
) -> Plan:
    """Plan everything about a dataset from its fingerprint.

    Args:
        dataset_name: e.g. "Dataset007_Cells".
        fingerprint: measured, without labels.
        description: of dataset.json.
        budget: what the user and the machine allow.

    Raises:
        UserError: slices instead of volumes, too little memory, parts that get fewer with depth, or stages that are
            not one per level.
    """
    if not budget.effort.crop:
        fingerprint = uncropped(fingerprint)
    parts = choose_parts(fingerprint.cases, description, budget)
    task, spacing_because = _full_resolution(fingerprint, description, budget)
    if budget.stages is not None and len(budget.stages) != len(parts.n_parts):
        reason = f"are {len(budget.stages)}, levels are {len(parts.n_parts)}"
        raise UserError("--stages", reason, "give one stage per level")
    normalization = _normalization(fingerprint, description, budget)
    # where no object stands out, the volume itself is the object
    volume_mm = patch_edge_mm(task.median_shape_zyx, task.spacing_zyx_mm)
    n_object_levels, objects_because = 0, f"preset {budget.preset}"
    useful = [case for case in fingerprint.cases if not case.constant]
    if budget.effort.objects:
        n_object_levels, objects_because = object_levels(useful, parts.n_parts)
    choices = DatasetChoices(
        fingerprint, budget, normalization, parts, volume_mm, n_object_levels, objects_because
    )
    configurations, configured = _configurations(task, choices)
    decisions = [
        Decision("preset", budget.preset, budget.effort.because),
        Decision("target spacing", f"{product(task.spacing_zyx_mm)} mm", spacing_because),
        *explain_normalization(description.channel_names, normalization),
        *explain_reading(fingerprint.reading),
        _explain_precision(budget),
        explain_left_right(useful, budget.effort.recipe),
        Decision("parts per level", " ".join(map(str, parts.n_parts)), parts.because),
        *configured,
        *explain_paper(budget),
    ]
    return Plan(
        dataset_name=dataset_name,
        plans_name=budget.plans_name,
        planner="paper" if budget.preset == PAPER else "default",
        preset=budget.preset,
        channel_names=description.channel_names,
        configurations=configurations,
        decisions=tuple(decisions),
    )


def uncropped(fingerprint: DatasetFingerprint) -> DatasetFingerprint:
    """The fingerprint of volumes that are taken whole."""
    cases = tuple(
        replace(case, crop_start_zyx=(0, 0, 0), crop_stop_zyx=case.shape_zyx) for case in fingerprint.cases
    )
    return replace(fingerprint, cases=cases)


def _normalization(
    fingerprint: DatasetFingerprint, description: DatasetDescription, budget: Budget
) -> tuple[NormalizationPlan, ...]:
    if budget.effort.min_max:
        return (MIN_MAX,) * description.n_channels
    return plan_normalization(description.channel_names, fingerprint)


def _full_resolution(
    fingerprint: DatasetFingerprint, description: DatasetDescription, budget: Budget
) -> tuple[Task, str]:
    if budget.target_spacing_zyx_mm is None:
        spacing, because = target_spacing(fingerprint)
    else:
        spacing, because = budget.target_spacing_zyx_mm, "given with -overwrite_target_spacing"
    shape = median_shape(fingerprint, spacing)
    # the parts follow with the levels of a configuration
    return Task(spacing, shape, description.n_channels, 1, 2 if budget.fast_bf16 else 4), because


def _configurations(
    task: Task, choices: DatasetChoices
) -> tuple[dict[str, ConfigurationPlan], list[Decision]]:
    """The full resolution with all levels, or shared with a low one where a volume is many patches."""
    levels = tuple(range(1, len(choices.parts.n_parts) + 1))
    full, decisions = plan_configuration(FULL_RESOLUTION, task, levels, choices)
    whole, patch = task.median_shape_zyx, full.patch_size_zyx
    n_patches = math.prod(whole) / math.prod(patch)
    wanted = choices.preset.low_resolution and needs_low_resolution(whole, patch, len(levels))
    coarser = coarsen(task, choices.preset, choices.budget) if wanted else None
    if coarser is None:
        return {FULL_RESOLUTION: full}, decisions
    edge_mm = patch_edge_mm(patch, task.spacing_zyx_mm)
    diameters = [choices.diameter_mm(level) for level in levels]
    for_low, for_full = share_levels(diameters, edge_mm, max(coarser.spacing_zyx_mm))
    low, low_decisions = plan_configuration(LOW_RESOLUTION, coarser, for_low, choices)
    full, decisions = plan_configuration(FULL_RESOLUTION, task, for_full, choices)
    shares = shared_levels({LOW_RESOLUTION: for_low, FULL_RESOLUTION: for_full})
    because = (
        f"a median volume is {n_patches:.0f} patches at full resolution, more than {MOST_PATCHES}; level 1, and "
        f"levels whose objects are wider than half of a patch of {edge_mm:.3g} mm and large enough at the coarser "
        "spacing, are found where one patch holds it whole; a level does not look for its parts within those of "
        "another configuration"
    )
    spacing, finest = product(coarser.spacing_zyx_mm), "the finest at which the median volume is one patch"
    explained = [
        Decision("configurations", shares, because),
        Decision("spacing", f"{spacing} mm", finest, LOW_RESOLUTION),
        *low_decisions,
        *decisions,
    ]
    return {LOW_RESOLUTION: low, FULL_RESOLUTION: full}, explained


def _explain_precision(budget: Budget) -> Decision:
    if budget.fast_bf16:
        because = f"{budget.hardware} computes bfloat16 fast; weights stay in float32"
        return Decision("precision", "bfloat16", because)
    return Decision("precision", "float32", f"{budget.hardware} has no bfloat16 instructions")
