"""Where `-pl paper` is not the paper's: what memory, or the size of the volumes, took from its networks."""

import math
from collections.abc import Iterator
from dataclasses import replace

from dd_nnunet.core.plan import Decision
from dd_nnunet.core.units import GB
from dd_nnunet.planning.networks import Networks, Task, plan_networks
from dd_nnunet.planning.presets import PAPER, Budget
from dd_nnunet.planning.reasons import product
from dd_nnunet.planning.topology import MAX_INITIAL_VOXELS, initial_patch_size

NOT_AS_IN_THE_PAPER = "not as in the paper"
COARSER = "a coarser -overwrite_target_spacing"


def explain_departures(nets: Networks, task: Task, budget: Budget) -> Iterator[Decision]:
    """What the paper tells of and the plan has otherwise, and what to give instead; nothing for other presets.

    Width and batch size of the segmenter are none: the paper does not tell them.

    Args:
        nets: the networks that fit.
        task: what they are for.
        budget: what they had to fit.
    """
    if budget.preset != PAPER:
        return
    # the same without a limit; its estimate is what the paper's settings need
    papers = plan_networks(task, budget.effort, replace(budget, gpu_memory_target_gb=math.inf))
    departures = list(_departures(nets, papers))
    if departures:
        needed = math.ceil(papers.estimated_bytes / GB * 100) / 100
        because = f"-gpu_memory_target is {budget.gpu_memory_target_gb:g} GB; give at least {needed:g}"
        if nets.topology.patch_size_zyx != papers.topology.patch_size_zyx:
            because += f", or {COARSER}"
        yield Decision(NOT_AS_IN_THE_PAPER, ", ".join(departures), because)
    whole = task.median_shape_zyx
    if initial_patch_size(task.spacing_zyx_mm, whole) != whole:
        largest = product(papers.topology.patch_size_zyx)
        edge = round(MAX_INITIAL_VOXELS ** (1 / 3))
        because = f"no patch is planned of more than {edge}³ voxels, whatever the memory; give {COARSER}"
        parts = f"patches of at most {largest} instead of whole volumes of {product(whole)}"
        yield Decision(NOT_AS_IN_THE_PAPER, parts, because)


def _departures(nets: Networks, papers: Networks) -> Iterator[str]:
    """Each as "what it is instead of what it is in the paper"."""
    pairs = (
        ("patch size", product(nets.topology.patch_size_zyx), product(papers.topology.patch_size_zyx)),
        ("diffusion channels", _channels(nets), _channels(papers)),
        ("diffusion batch size", str(nets.diffusion_batch_size), str(papers.diffusion_batch_size)),
    )
    for name, ours, theirs in pairs:
        if ours != theirs:
            yield f"{name} {ours} instead of {theirs}"


def _channels(nets: Networks) -> str:
    return " ".join(map(str, nets.diffusion.channels))
