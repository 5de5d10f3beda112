"""A row of the gallery: what was planned for a data set, how its training went, and the scores."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gallery_data import Exhibit
from measuring import machine

from dd_nnunet.commands.baseline_setup import METHOD_NAMES, OBJECTS
from dd_nnunet.core.dataset import DatasetDescription
from dd_nnunet.core.fingerprint import DatasetFingerprint
from dd_nnunet.core.plan import ConfigurationPlan, Plan
from dd_nnunet.planning.levels import choose_parts
from dd_nnunet.planning.presets import Budget
from dd_nnunet.storage.atomic import read_json, read_record
from dd_nnunet.storage.raw_dataset import load_description
from dd_nnunet.storage.workspace import DatasetFolders

PLANS, FOLD, PRESET = "ddPlans", "0", "fast"
SCORES = ("dice", "interval", "foreground", "hd95_mm")
PROBE = "minutes on this machine by a short probe"
# of a fingerprint
MEASURED = (
    "median_crop_shape_zyx",
    "median_spacing_zyx_mm",
    "noise_sd",
    "noise_slope",
    "snr",
    "diameters_mm",
)
# of a configuration
PLANNED = (
    "spacing_zyx_mm",
    "patch_size_zyx",
    "normalization",
    "levels",
    "precision",
    "estimated_gpu_memory_gb",
)


def planned(name: str, exhibit: Exhibit, folders: DatasetFolders) -> dict[str, Any]:
    """What was measured and planned, without results."""
    fingerprint = read_record(DatasetFingerprint, folders.fingerprint_json)
    # the copy beside the fingerprint: what the plan was made of
    description = load_description(folders.preprocessed)
    return {
        "dataset": exhibit.folder,
        "command": f"python benchmarks/gallery.py train --work DIR {name}",
        "fingerprint_schema": fingerprint.schema_version,
        "measured": measured_values(read_json(folders.fingerprint_json)),
        "plan": planned_values(read_json(folders.plans_json(PLANS))),
        "parts_if_not_given": parts_if_not_given(fingerprint, description),
    }


def measured_values(fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    """What a row keeps of a fingerprint, given as JSON."""
    return {"n_cases": len(fingerprint["cases"])} | {key: fingerprint[key] for key in MEASURED}


def planned_values(plan: Mapping[str, Any]) -> dict[str, Any]:
    """What a row keeps of a plan, given as JSON."""
    configurations = {
        key: {k: value[k] for k in PLANNED}
        | {
            "timesteps": value["features"]["timesteps"],
            "diffusion_strides_zyx": value["diffusion"]["strides_zyx"],
        }
        for key, value in plan["configurations"].items()
    }
    return {"configurations": configurations, "decisions": plan["decisions"]}


def parts_if_not_given(
    fingerprint: DatasetFingerprint, description: DatasetDescription
) -> dict[str, str] | None:
    """The planner's own numbers of parts and its reason, where dataset.json gives them; None where it does not."""
    if not description.parts:
        return None
    chosen = choose_parts(fingerprint.cases, replace(description, parts=()), Budget(preset=PRESET))
    return {"value": " ".join(map(str, chosen.n_parts)), "because": chosen.because}


def methods_for(configuration: ConfigurationPlan) -> tuple[str, ...]:
    """The baselines that do not refuse a configuration; those on features want its fold trained first."""
    has_objects = any(configuration.starts_from_objects(level) for level in configuration.levels)
    return tuple(method for method in METHOD_NAMES if method != OBJECTS or has_objects)


def run_record(folders: DatasetFolders, plan: Plan, log: Path, times: Path) -> dict[str, Any]:
    """How the training went: its ends, versions and machine, and from the logs of the commands its times."""
    finished, versions = {}, {}
    for configuration in plan.configurations:
        fold = folders.model(PLANS, configuration) / f"fold_{FOLD}"
        for path in sorted(fold.glob("*/finished.json")):
            finished[f"{configuration}/{path.parent.name}"] = read_json(path)
            versions = read_json(path.with_name("debug.json"))["starts"][-1]["versions"]
    entries = [json.loads(line) for line in times.read_text(encoding="utf-8").splitlines()]
    said = log.read_text(encoding="utf-8").splitlines()
    return {
        "fold": FOLD,
        "collapsed": bool(collapsed_levels(finished)),
        # all starts in this work folder count, interrupted ones too
        "wall_seconds_train": _seconds_of(entries, "train"),
        "wall_seconds_baselines": _seconds_of(entries, "baseline"),
        "expected_minutes": [line.strip() for line in said if PROBE in line],
        "finished": finished,
        "versions": versions,
        "machine": machine(*(end["device"] for end in finished.values())),
        "commit": commit(),
    }


def collapsed_levels(finished: Mapping[str, Any]) -> list[str]:
    """Trainings that lost parts, e.g. "3d_fullres/level1", or a level of one of several: "3d_fullres/levels 2"."""
    found = [name for name, end in finished.items() if end.get("collapsed")]
    several = ((name, end["levels"]) for name, end in finished.items() if "levels" in end)
    return found + [
        f"{name} {n}" for name, levels in several for n, end in levels.items() if end["collapsed"]
    ]


def _seconds_of(entries: Sequence[dict[str, Any]], module: str) -> float:
    return round(sum(entry["seconds"] for entry in entries if entry["command"][0] == module), 1)


def scores(folders: DatasetFolders, plan: Plan) -> dict[str, Any]:
    """Method -> level -> the protocols of its summary.json; empty without labels."""
    found: dict[str, Any] = {}
    for configuration in plan.configurations:
        homes = {"dd_nnunet": folders.model(PLANS, configuration)}
        homes |= {method: folders.baseline(method, PLANS, configuration) for method in METHOD_NAMES}
        for method, home in homes.items():
            for path in sorted((home / f"fold_{FOLD}").glob("level*/validation/summary.json")):
                summary = read_json(path)
                protocols = {p: {k: v.get(k) for k in SCORES} for p, v in summary["protocols"].items()}
                level = {"level": summary["level"], "n_cases": summary["n_cases"], "protocols": protocols}
                found.setdefault(method, {})[f"level{summary['level']}"] = level
    return found


def commit() -> str | None:
    """The checkout that was run, "+" behind it if files differ from it; None outside a repository."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or None
