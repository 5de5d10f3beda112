"""Fingerprints whose plans are kept in tests/golden; run this file to write them anew.

Some are made by hand, some were measured: tests/golden/measured_*.json, of the gallery's data sets.
"""

from pathlib import Path

from made_fingerprint import make_channel, make_description, make_fingerprint

from dd_nnunet.core.dataset import describe_dataset
from dd_nnunet.core.fingerprint import DatasetFingerprint
from dd_nnunet.core.json_record import dump_json, parse_json, record_from_json, record_to_json
from dd_nnunet.planning.plan_dataset import plan_dataset
from dd_nnunet.planning.presets import Budget

GOLDEN = Path(__file__).parent.parent / "golden"


def isotropic(edge, diameters_mm, n_cases=100):
    return make_fingerprint([(edge,) * 3] * n_cases, [(1.0,) * 3] * n_cases, diameters_mm)


CELLS = isotropic(50, (40.0, 10.0, 5.0))
MINI_CELLS = isotropic(32, (26.0, 6.5, 3.0), 20)
FLAIR = make_fingerprint([(155, 240, 240)] * 259, [(1.0,) * 3] * 259, (170.0, 45.0, 20.0), 0.02)
HOUNSFIELD = make_channel(0.03, (-1000.0, -900.0, 20.0, 300.0, 1200.0))
CT = make_fingerprint(
    [(30, 512, 512)] * 40,
    [(5.0, 0.8, 0.8)] * 40,
    (300.0, 60.0),
    0.03,
    channels=(HOUNSFIELD, make_channel(0.03)),
)
HUGE = isotropic(512, (300.0, 60.0, 12.0), 5)
HARDWARE = {"fast_bf16": False, "hardware": "a CPU"}
PLANS = {
    "cells_fast": (CELLS, make_description(), Budget(preset="fast", **HARDWARE)),
    "cells_standard": (CELLS, make_description(), Budget(**HARDWARE)),
    "cells_paper": (CELLS, make_description(), Budget(preset="paper", **HARDWARE)),
    "mini_cells_fast": (
        MINI_CELLS,
        make_description(parts={"level1": 2, "level2": 4}),
        Budget(preset="fast"),
    ),
    "flair_bf16": (FLAIR, make_description(("FLAIR",)), Budget(parts=(3,), fast_bf16=True, hardware="a GPU")),
    "thick_slices": (CT, make_description(("CT", "PET")), Budget(gpu_memory_target_gb=4.0, **HARDWARE)),
    "huge_fast": (HUGE, make_description(("EM",)), Budget(preset="fast", parts=(2, 4, 8), **HARDWARE)),
}


def measured(path):
    """Fingerprint, description and budget of a data set of the gallery."""
    data = parse_json(path.read_text(encoding="utf-8"), path)
    fingerprint = record_from_json(DatasetFingerprint, data["fingerprint"], path)
    return fingerprint, describe_dataset(data["dataset"], path), Budget(preset="fast", **HARDWARE)


PLANS |= {
    path.stem.replace("measured_", "gallery_"): measured(path)
    for path in sorted(GOLDEN.glob("measured_*.json"))
}


def golden_path(name):
    return GOLDEN / f"plan_{name}.json"


def plan_text(name):
    fingerprint, description, budget = PLANS[name]
    return dump_json(record_to_json(plan_dataset("Dataset001_Golden", fingerprint, description, budget)))


if __name__ == "__main__":
    for name in PLANS:
        golden_path(name).write_text(plan_text(name), encoding="utf-8")
