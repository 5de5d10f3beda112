"""A task of the Medical Segmentation Decathlon, from its folder."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from dataset_conversion.cases import channels_of, check_labels, convert_each, origin_of, write_record
from dataset_conversion.raw_folder import FILE_ENDING, write_channels, write_dataset_json
from dd_nnunet.core.dataset import check_case_id
from dd_nnunet.core.errors import DDError, UserError, joined
from dd_nnunet.storage.atomic import read_json
from dd_nnunet.storage.grids import compare_grids
from dd_nnunet.storage.volume import read_label_map, read_volume, write_labels

SOURCE_ENDING = ".nii.gz"
# what a task says of itself and the dataset says again
KEPT_NOTES = ("name", "description", "reference", "licence", "release")
EXPECTED = "expected the dataset.json of a task, e.g. Task04_Hippocampus/dataset.json"


@dataclass(frozen=True)
class _Case:
    case_id: str
    image: Path
    label: Path | None


@dataclass(frozen=True)
class _Task:
    """What a task's dataset.json says."""

    channel_names: tuple[str, ...]
    labels: dict[str, int]
    cases: tuple[_Case, ...]
    notes: dict[str, str]


def task_name(source: Path) -> str:
    """What the dataset is called if nothing else is said: "Hippocampus" for Task04_Hippocampus."""
    prefix, _, name = source.resolve().name.partition("_")
    return name if prefix.startswith("Task") and name else source.resolve().name


def convert_msd(source: Path, target: Path, show_progress: bool = False) -> tuple[int, int]:
    """Write the listed cases, dataset.json and conversion.json into a dataset's folder.

    A 4-D image becomes a file per channel; voxels, grids and labels stay as they are. Files that dataset.json does
    not list, `._…` among them, are not looked at.

    Returns:
        The numbers of cases in imagesTr and in imagesTs.

    Raises:
        UserError: dataset.json is not that of a task; `ManyErrors` with every missing file, else with every bad case.
        DiskError: no space left.
    """
    task = _read_task(source)
    missing = [
        path
        for case in task.cases
        for path in (case.image, case.label)
        if path is not None and not path.is_file()
    ]
    if missing:
        remedy = f"unpack the task again, or correct {source / 'dataset.json'}"
        raise joined([UserError(path, "is listed in dataset.json and missing", remedy) for path in missing])
    entries: dict[str, Any] = {}

    def convert(case: _Case) -> None:
        entries[case.case_id] = _convert_case(case, len(task.channel_names), target)

    if errors := convert_each(task.cases, convert, show_progress):
        raise joined(errors)
    write_record(target, entries)
    n_training = sum(case.label is not None for case in task.cases)
    write_dataset_json(target, task.channel_names, n_training, task.labels, {"source": task.notes})
    return n_training, len(task.cases) - n_training


def _convert_case(case: _Case, n_channels: int, target: Path) -> dict[str, Any]:
    """Write one case; returns its entry of conversion.json."""
    volume = read_volume([case.image] * n_channels)
    part = "Ts" if case.label is None else "Tr"
    entry: dict[str, Any] = {
        "name": case.image.name,
        "files": origin_of([case.image]),
        "warnings": list(volume.warnings),
    }
    if case.label is not None:
        labels, geometry = read_label_map(case.label)
        entry["warnings"] += compare_grids(case.image, volume.geometry, case.label, geometry)
        check_labels(labels, case.label)
        write_labels(target / "labelsTr" / f"{case.case_id}{FILE_ENDING}", labels, volume.geometry)
        entry["labels"] = origin_of([case.label])
    write_channels(target / f"images{part}", case.case_id, channels_of(volume), volume.geometry)
    return entry


def _read_task(source: Path) -> _Task:
    where = source / "dataset.json"
    data = read_json(where)
    if not isinstance(data, dict):
        raise UserError(where, "$ is not an object", EXPECTED)
    training, test = (data.get(key, []) for key in ("training", "test"))
    if not isinstance(training, list) or not isinstance(test, list) or not training:
        raise UserError(where, "$.training and $.test are not lists of files", EXPECTED)
    cases = [_training_case(source, entry, f"{where}: $.training[{i}]") for i, entry in enumerate(training)]
    cases += [_case(source, entry, None, f"{where}: $.test[{i}]") for i, entry in enumerate(test)]
    twice = [case_id for case_id, n in Counter(case.case_id.casefold() for case in cases).items() if n > 1]
    if twice:
        errors: list[DDError] = [UserError(where, f"lists {c} twice", "remove one of them") for c in twice]
        raise joined(errors)
    notes = {key: data[key] for key in KEPT_NOTES if isinstance(data.get(key), str)}
    return _Task(
        _channel_names(data.get("modality"), where), _labels(data.get("labels"), where), tuple(cases), notes
    )


def _training_case(source: Path, entry: Any, where: str) -> _Case:
    if not isinstance(entry, dict) or not isinstance(entry.get("label"), str):
        raise UserError(where, 'is not {"image": …, "label": …}', EXPECTED)
    return _case(source, entry.get("image"), entry["label"], where)


def _case(source: Path, image: Any, label: str | None, where: str) -> _Case:
    path = _inside(source, image, where)
    case_id = check_case_id(path.name.removesuffix(SOURCE_ENDING), where)
    return _Case(case_id, path, None if label is None else _inside(source, label, where))


def _inside(source: Path, name: Any, where: str) -> Path:
    """A listed file, which may not lie outside the task's folder."""
    if not isinstance(name, str) or not name.endswith(SOURCE_ENDING):
        raise UserError(where, f"names no {SOURCE_ENDING} file", EXPECTED)
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts or "\\" in name or ":" in name or "\0" in name:
        raise UserError(where, f"leaves the task's folder: {name!r}", EXPECTED)
    return source / relative


def _channel_names(data: Any, where: Path) -> tuple[str, ...]:
    names = [data.get(str(i)) for i in range(len(data))] if isinstance(data, dict) and data else [None]
    if not all(isinstance(name, str) for name in names):
        raise UserError(where, f"$.modality is {data!r}", 'expected {"0": "MRI"}, one name per channel')
    return tuple(map(str, names))


def _labels(data: Any, where: Path) -> dict[str, int]:
    if not isinstance(data, dict) or not all(k.isdecimal() and isinstance(v, str) for k, v in data.items()):
        raise UserError(where, f"$.labels is {data!r}", 'expected {"0": "background", "1": "name"}')
    if len(set(data.values())) < len(data):
        raise UserError(where, "$.labels has a name twice", "rename one of them")
    return {name: int(value) for value, name in data.items()}
