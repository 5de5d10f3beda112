"""The plans of the paper's tables: the planner's, edited as paper_rows.py says; each is there whole or not at all."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paper_bench import Bench
from paper_data import Cells, Edits, Effort, Real, same_steps
from paper_rows import OURS, Variant

from dd_nnunet.core.json_record import record_from_json, record_to_json
from dd_nnunet.core.plan import Plan
from dd_nnunet.storage.atomic import read_json, read_record, write_json
from dd_nnunet.storage.case_store import sha256_of_record
from dd_nnunet.storage.workspace import DatasetFolders

# what the paper's settings take over from ours, so that both spend the same effort
LENGTHS = (
    ("diffusion", "channels"),
    ("diffusion", "batch_size"),
    ("diffusion", "iterations"),
    ("diffusion", "learning_rate"),
    ("segmenter", "features_per_stage"),
    ("segmenter", "batch_size"),
    ("segmenter", "iterations_per_epoch"),
    ("segmenter", "learning_rate"),
)


def make_plan(bench: Bench, data: Cells | Real, variant: Variant) -> bool:
    """Plan, edit and prepare, unless that was done before.

    Returns:
        False, and says so, where the line is about a part that our plan of these data does not have.
    """
    folders = bench.folders(data, 0)
    ours, target = folders.plans_json(OURS), folders.plans_json(variant.name)
    if not ours.exists():
        draft = _draft(bench, folders, OURS, "--preset", bench.effort.preset)
        _put_in_place(draft, ours, {**(bench.effort.lengths or {}), **(data.lengths or {})})
    if not variant.flags and (lacking := missing_part(ours, variant.edits or {})):
        print(f"{data.name}: {variant.name} is left out: our plan of these data has no {lacking}")
        return False
    if not target.exists() and variant.flags:
        draft = _draft(bench, folders, variant.name, *variant.flags)
        edits = {**lengths_of(bench.effort, ours, draft), **(variant.edits or {})}
        _put_in_place(draft, target, edits)
    elif not target.exists():
        edit_plan(ours, target, variant.edits or {})
    configurations = read_json(target)["configurations"]
    if not all((folders.prepared(variant.name, c) / "manifest.json").exists() for c in configurations):
        which = ("-d", data.folder, "-plans_name", variant.name)
        bench.commands(0).run("plan_and_preprocess", *which, "-np", "2", function="main_preprocess")
    return True


def _draft(bench: Bench, folders: DatasetFolders, plans_name: str, *flags: str) -> Path:
    """What the planner says, under another name: one that is not edited yet must not be taken for the line's own."""
    name = f"draft-{plans_name}"
    wanted = ("-d", folders.name, *flags, "-overwrite_plans_name", name, "--no_pp")
    bench.commands(0).run("plan_and_preprocess", *wanted)
    return folders.plans_json(name)


def _put_in_place(draft: Path, target: Path, edits: Edits) -> None:
    edit_plan(draft, target, edits)
    draft.unlink()


def lengths_of(effort: Effort, ours: Path, other: Path) -> dict[tuple[str, str], Any]:
    """What another planner's plan takes over from ours; the networks of the released code stay its own."""
    if effort.own_lengths:
        return {}
    given, planned = _configuration(read_json(ours), ours), _configuration(read_json(other), other)
    found = {(part, key): given[part][key] for part, key in LENGTHS}
    found["segmenter", "epochs"] = same_steps(given)
    if planned["segmenter"].get("inner_multiple", 1) > 1:
        del found["segmenter", "features_per_stage"]
    return found


def missing_part(path: Path, edits: Edits) -> str | None:
    """A part that the edits change a value of and that a plan does not have."""
    planned = read_json(path)["configurations"].values()
    return next((part for part, key in edits if key and all(its[part] is None for its in planned)), None)


def edit_plan(source: Path, target: Path, edits: Edits) -> None:
    """Write a plan with other values in its configurations, named after its file.

    Raises:
        UserError: it would be no plan; nothing is written.
    """
    plan = read_json(source)
    for configuration in plan["configurations"].values():
        # all from the plan as it was
        values = {place: edit(configuration) if callable(edit) else edit for place, edit in edits.items()}
        for (part, key), value in values.items():
            if key:
                configuration[part][key] = value
            else:
                configuration[part] = value
    plan["plans_name"] = target.stem
    write_json(target, record_from_json(Plan, record_to_json(plan), target))


def plan_sha256(path: Path) -> str:
    """Of what a plan's configurations train.

    Left out are the estimate of memory, which nothing follows, and defaults, so that it stays where plans have learnt
    to say more since.
    """
    chosen = []
    for planned in read_record(Plan, path).configurations.values():
        its = record_to_json(planned, without_defaults=True)
        chosen.append({key: its[key] for key in sorted(its) if key != "estimated_gpu_memory_gb"})
    return sha256_of_record(*chosen) if len(chosen) == 1 else sha256_of_record(chosen)


def _configuration(plan: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The only one of a plan, as the paper's settings have it."""
    if len(plan["configurations"]) > 1:
        raise SystemExit(f"{path}: has configurations {', '.join(plan['configurations'])}")
    (found,) = plan["configurations"].values()
    return dict(found)
