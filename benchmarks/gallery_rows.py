"""A row of the gallery: what was planned for a data set, how its training went, and the scores."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gallery_data import Exhibit
from measuring import machine

from dd_nnunet.core.plan import Plan
from dd_nnunet.storage.atomic import read_json
from dd_nnunet.storage.workspace import DatasetFolders

METHODS = ("kmeans", "denoise-kmeans", "objects")
PLANS, FOLD = "ddPlans", "0"
SCORES = ("dice", "interval", "foreground", "hd95_mm")
PROBE = "minutes on this machine by a short probe"


def planned(name: str, exhibit: Exhibit, folders: DatasetFolders) -> dict[str, Any]:
    """What was measured and planned, without results."""
    fingerprint, plan = read_json(folders.fingerprint_json), read_json(folders.plans_json(PLANS))
    measured = (
        "median_crop_shape_zyx",
        "median_spacing_zyx_mm",
        "noise_sd",
        "noise_slope",
        "snr",
        "diameters_mm",
    )
    kept = (
        "spacing_zyx_mm",
        "patch_size_zyx",
        "normalization",
        "levels",
        "precision",
        "estimated_gpu_memory_gb",
    )
    configurations = {
        key: {k: value[k] for k in kept}
        | {
            "timesteps": value["features"]["timesteps"],
            "diffusion_strides_zyx": value["diffusion"]["strides_zyx"],
        }
        for key, value in plan["configurations"].items()
    }
    return {
        "dataset": exhibit.folder,
        "command": f"python benchmarks/gallery.py train --work DIR {name}",
        "measured": {"n_cases": len(fingerprint["cases"])} | {key: fingerprint[key] for key in measured},
        "plan": {"configurations": configurations, "decisions": plan["decisions"]},
    }


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
        "wall_seconds_baselines": _seconds_of(entries, "baseline"),
        "expected_minutes": [line.strip() for line in said if PROBE in line],
        "finished": finished,
        "versions": versions,
        "machine": machine(),
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
        homes |= {method: folders.baseline(method, PLANS, configuration) for method in METHODS}
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
