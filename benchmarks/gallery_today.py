"""What would be another in a row of the gallery if it were made today, by the goldens of the tests."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gallery_rows import measured_values, parts_if_not_given

from dd_nnunet.core.dataset import describe_dataset
from dd_nnunet.core.fingerprint import DatasetFingerprint
from dd_nnunet.core.json_record import record_from_json
from dd_nnunet.storage.atomic import read_json

GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
# decisions that follow from the machine: the golden plans are those of one without bfloat16 instructions
OF_THE_MACHINE = (
    "precision",
    "memory per step",
    "diffusion batch size",
    "diffusion training",
    "segmenter training",
)
# what follows from the patch, or the start of its name
OF_THE_PATCH = (
    "configurations", "patch size", "median shape", "down-samplings", "stage of level", "target spacing",
    "diffusion channels", "segmenter channels", "segmenter batch size", "parent of each part",
)  # fmt: skip
# of what was measured, for people
NAMES: Mapping[str, str] = {
    "n_cases": "volumes",
    "median_crop_shape_zyx": "median shape",
    "median_spacing_zyx_mm": "median spacing in mm",
    "noise_sd": "sd of the noise",
    "noise_slope": "slope of the noise",
    "snr": "signal to noise",
    "diameters_mm": "objects in mm",
}
# fingerprints before that schema hold another quantity under these keys: the slope of the whole spectrum, objects
# included, and the signal over the noise of the voxel scale alone
SINCE_SCHEMA_5 = ("noise_slope", "snr")


def golden_measured(name: str, folder: Path = GOLDEN) -> Path:
    """The file with the fingerprint of a data set and what its dataset.json says to the planner."""
    return folder / f"measured_{name.replace('-', '_')}.json"


def golden_plan(name: str, folder: Path = GOLDEN) -> Path:
    """The file with the plan of a data set."""
    return folder / f"plan_gallery_{name.replace('-', '_')}.json"


def today(name: str, row: Mapping[str, Any], folder: Path = GOLDEN) -> list[str]:
    """Lines that tell what would be another today; none where nothing would.

    Args:
        name: of the data set.
        row: of it.
        folder: with the goldens; what is missing there is not compared.
    """
    measured, plan = golden_measured(name, folder), golden_plan(name, folder)
    changes = {
        "Measured today": list(measured_otherwise(row, read_json(measured))) if measured.exists() else [],
        "Planned today": list(planned_otherwise(row, read_json(plan))) if plan.exists() else [],
    }
    told = ((f"**{title}**: {'; '.join(texts)}.", "") for title, texts in changes.items() if texts)
    return [line for lines in told for line in lines]


def measured_otherwise(row: Mapping[str, Any], golden: Mapping[str, Any]) -> Iterator[str]:
    """Measured values that differ, and what follows from them where dataset.json gives the parts."""
    values = measured_values(golden["fingerprint"])
    for key, value in values.items():
        if key in SINCE_SCHEMA_5 and is_older(row):
            continue
        yield from _changed(NAMES[key], _numbers(value), _numbers(row["measured"][key]))
    # rows of former days do not have it
    if (before := row.get("parts_if_not_given")) is not None:
        fingerprint = record_from_json(DatasetFingerprint, golden["fingerprint"], "fingerprint")
        now = parts_if_not_given(fingerprint, describe_dataset(golden["dataset"], "dataset.json"))
        yield from _changed("parts if not given", now and now["value"], before["value"])


def is_older(row: Mapping[str, Any]) -> bool:
    """Whether a row was made before fingerprints of schema 5; from then on rows say theirs."""
    return "fingerprint_schema" not in row


def planned_otherwise(row: Mapping[str, Any], golden: Mapping[str, Any]) -> Iterator[str]:
    """Decisions that differ, came or went, besides those of the machine."""
    now, before = comparable(golden, row["plan"])
    for key in {**before, **now}:
        configuration, name = key
        # names alone, while there is one configuration
        several = len({where for where, _ in now if where}) > 1 and configuration
        title = f"{name} of {configuration}" if several else name
        yield from _changed(title, now.get(key), before.get(key))


Decided = dict[tuple[str, str], str]


def comparable(*plans: Mapping[str, Any]) -> tuple[Decided, ...]:
    """`decided` of plans, as far as they may be compared.

    In preset `fast` the number format bounds the patch: of plans in several formats, what follows from the patch is
    left out, and configurations that not all of them have.
    """
    found = tuple(decided(plan["decisions"]) for plan in plans)
    formats = {d["value"] for plan in plans for d in plan["decisions"] if d["name"] == "precision"}
    if len(formats) < 2:
        return found
    everywhere = set.intersection(*({where for where, _ in of_plan} for of_plan in found))
    return tuple(
        {
            (where, name): value
            for (where, name), value in of_plan.items()
            if where in everywhere and not name.startswith(OF_THE_PATCH)
        }
        for of_plan in found
    )


def decided(decisions: Sequence[Mapping[str, str]]) -> dict[tuple[str, str], str]:
    """(configuration, name) -> value of decisions, without those that follow from the machine."""
    return {
        (decision["configuration"], decision["name"]): decision["value"]
        for decision in decisions
        if decision["name"] not in OF_THE_MACHINE
    }


def _changed(name: str, now: str | None, before: str | None) -> Iterator[str]:
    if now != before:
        yield f"{name}: {now or 'no more'} ({f'was {before}' if before else 'new'})"


def _numbers(value: float | Sequence[float]) -> str:
    values = value if isinstance(value, Sequence) else (value,)
    return ", ".join(f"{number:.4g}" for number in values) or "none"
