"""What a raw dataset says of itself: dataset.json and the ids of its cases."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dd_nnunet.core.errors import UserError, joined
from dd_nnunet.core.units import MOST_PARTS

DATASET_NAME = re.compile(r"Dataset(\d{3,})_[\w.+-]+")
CASE_ID = re.compile(r"[\w.+-]{1,200}")
FILE_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd", ".tif", ".tiff", ".mrc", ".rec")
EXAMPLE = '{"channel_names": {"0": "MRI"}, "numTraining": 10, "file_ending": ".nii.gz"}'


@dataclass(frozen=True)
class CaseFiles:
    """One case of a raw folder.

    Args:
        case_id: the file name without channel number and ending.
        channel_files: one file per channel, in channel order.
    """

    case_id: str
    channel_files: tuple[Path, ...]


@dataclass(frozen=True)
class DatasetDescription:
    """The content of dataset.json that dd_nnunet uses.

    Args:
        channel_names: one name per channel, in the order of the `_0000`, `_0001` … files.
        file_ending: the ending of every volume, with the leading dot.
        labels: true labels by name, for evaluation only; empty where there are none.
        parts: number of parts per level chosen by the user, level 1 first; empty = planned.
        levels: for evaluation only: per level, class name -> the true labels it merges.
        n_training_stated: `numTraining` as written (we count ourselves), whatever it is; None = not stated.
    """

    channel_names: tuple[str, ...]
    file_ending: str
    labels: dict[str, int]
    parts: tuple[int, ...]
    levels: tuple[dict[str, tuple[int, ...]], ...]
    n_training_stated: object = None

    @property
    def n_channels(self) -> int:
        """Number of channels of every case."""
        return len(self.channel_names)

    def classes_of_level(self, level: int) -> dict[str, tuple[int, ...]]:
        """True classes of a level (1-based): name -> merged labels; all labels one by one if not given."""
        if level <= len(self.levels):
            return self.levels[level - 1]
        return {name: (value,) for name, value in self.labels.items()}


def check_case_id(case_id: str, where: object) -> str:
    """Return the id if it is a plain file-name part, else raise a UserError."""
    if not CASE_ID.fullmatch(case_id) or case_id in (".", ".."):
        raise UserError(
            where, f"case id {case_id!r} is not allowed", "use letters, digits, '_', '-', '+', '.' only"
        )
    return case_id


def describe_dataset(data: Any, where: object) -> DatasetDescription:
    """Check the parsed dataset.json and return its description.

    Raises:
        UserError: a missing or wrong entry, with its JSON path and an example.
    """
    if not isinstance(data, dict):
        raise UserError(where, "$ is not an object", f"example: {EXAMPLE}")
    ending = data.get("file_ending")
    if ending not in FILE_ENDINGS:
        raise UserError(
            where, f"$.file_ending is {ending!r}", f"allowed: {' '.join(FILE_ENDINGS)}; example: {EXAMPLE}"
        )
    _check_listed_ids(data.get("dataset"), where)
    return DatasetDescription(
        channel_names=_channel_names(data.get("channel_names", data.get("modality")), where),
        file_ending=ending,
        labels=_labels(data.get("labels"), where),
        parts=_parts(data.get("parts"), where),
        levels=_levels(data.get("levels"), where),
        n_training_stated=data.get("numTraining"),
    )


def _check_listed_ids(data: Any, where: object) -> None:
    """nnU-Net may list its cases there; we take those of imagesTr, but a hostile file shows here."""
    errors: list[UserError] = []
    for case_id in data if isinstance(data, dict) else ():
        try:
            check_case_id(case_id, f"{where}: $.dataset")
        except UserError as error:
            errors.append(error)
    if errors:
        raise joined(errors)


def _channel_names(data: Any, where: object) -> tuple[str, ...]:
    wanted = f'expected {{"0": "name", …}} counted from 0; example: {EXAMPLE}'
    if not isinstance(data, dict) or not data:
        raise UserError(where, f"$.channel_names is {data!r}", wanted)
    if set(data) != {str(i) for i in range(len(data))}:
        raise UserError(where, f"$.channel_names has keys {sorted(data)}", wanted)
    if not all(isinstance(name, str) for name in data.values()):
        raise UserError(where, "$.channel_names has a value that is no text", wanted)
    return tuple(data[str(i)] for i in range(len(data)))


def _labels(data: Any, where: object) -> dict[str, int]:
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise UserError(where, "$.labels is not an object", 'expected {"background": 0, "name": 1}')
    flat = {}
    for name, value in data.items():
        # nnU-Net's region-based labels are lists; their parts are named by the other entries
        if isinstance(value, list):
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise UserError(where, f"$.labels.{name} is {value!r}", "expected a whole number from 0")
        flat[name] = value
    return flat


def _level_entries(data: Any, key: str, where: object) -> list[Any]:
    if not isinstance(data, dict) or set(data) != {f"level{i + 1}" for i in range(len(data))}:
        raise UserError(where, f"$.{key} is {data!r}", f'expected {{"level1": …, "level2": …}} in $.{key}')
    return [data[f"level{i + 1}"] for i in range(len(data))]


def _parts(data: Any, where: object) -> tuple[int, ...]:
    if data is None:
        return ()
    entries = _level_entries(data, "parts", where)
    for level, n_parts in enumerate(entries, start=1):
        if not isinstance(n_parts, int) or isinstance(n_parts, bool) or not 2 <= n_parts <= MOST_PARTS:
            wanted = f"expected a whole number from 2 to {MOST_PARTS}"
            raise UserError(where, f"$.parts.level{level} is {n_parts!r}", wanted)
    return tuple(entries)


def _levels(data: Any, where: object) -> tuple[dict[str, tuple[int, ...]], ...]:
    if data is None:
        return ()
    levels = []
    for level, classes in enumerate(_level_entries(data, "levels", where), start=1):
        example = '{"level1": {"background": [0], "cell": [1, 2]}}'
        if not isinstance(classes, dict) or not all(
            isinstance(v, list) and v and all(isinstance(i, int) for i in v) for v in classes.values()
        ):
            raise UserError(where, f"$.levels.level{level} is {classes!r}", f"example: {example}")
        levels.append({name: tuple(values) for name, values in classes.items()})
    return tuple(levels)
