"""A raw dataset in nnU-Net's layout: its description, and which files make up which case."""

import logging
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from dd_nnunet.core.dataset import (
    FILE_ENDINGS,
    CaseFiles,
    DatasetDescription,
    check_case_id,
    describe_dataset,
)
from dd_nnunet.core.errors import DDError, UserError, joined
from dd_nnunet.core.units import counted
from dd_nnunet.storage.atomic import read_json
from dd_nnunet.storage.integrity import NIFTI_ENDINGS, volume_ending
from dd_nnunet.storage.nifti_scan import count_volumes
from dd_nnunet.storage.workspace import DatasetFolders

_logger = logging.getLogger(__name__)

# data files of .mhd headers, and the spacings that stand beside TIFFs
COMPANION_ENDINGS = (".raw", ".zraw", ".json")
FILE_STEM = re.compile(r"(?P<case_id>.+)_(?P<channel>\d{4})", re.DOTALL)


@dataclass(frozen=True)
class Survey:
    """What a folder of raw images holds, by the names of its files.

    Args:
        cases: that are complete, sorted by id, each with one file per channel in channel order; a 4-D NIfTI
            file stands for as many channels as it holds volumes.
        errors: a name of another form, a missing channel, a case that stands there twice; or no case at all.
        warnings: what was left out.
    """

    cases: tuple[CaseFiles, ...]
    errors: tuple[DDError, ...]
    warnings: tuple[str, ...]

    def sound_cases(self) -> tuple[CaseFiles, ...]:
        """The cases, if there are no errors.

        Raises:
            UserError: there is one; `ManyErrors` where there are several.
        """
        if self.errors:
            raise joined(self.errors)
        return self.cases


def load_description(source: DatasetFolders | Path) -> DatasetDescription:
    """Read dataset.json.

    Args:
        source: the dataset's folders, a folder that holds dataset.json, or the file itself.

    Raises:
        UserError: missing, no valid JSON (with line:column), or a wrong entry (with its JSON path).
    """
    path = source.dataset_json if isinstance(source, DatasetFolders) else Path(source)
    if path.is_dir():
        path = path / "dataset.json"
    return describe_dataset(read_json(path), path)


def find_cases(folder: Path, description: DatasetDescription) -> tuple[CaseFiles, ...]:
    """Find the cases of a folder of raw images, and log what is left out.

    Returns:
        The cases, as in `Survey`.

    Raises:
        UserError: no folder, or an error of the `Survey`; `ManyErrors` where there are several.
    """
    survey = survey_cases(folder, description)
    for warning in survey.warnings:
        _logger.warning("%s", warning)
    return survey.sound_cases()


def survey_cases(folder: Path, description: DatasetDescription) -> Survey:
    """Find the cases of a folder of raw images, {case}_{channel}{ending}; no volume is read.

    Raises:
        UserError: no folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        reason = "is no folder" if folder.exists() else "does not exist"
        raise UserError(folder, reason, "a raw dataset has its images in imagesTr")
    errors: list[DDError] = []
    warnings: list[str] = []
    channels: dict[str, dict[int, Path]] = defaultdict(dict)
    for path in sorted(folder.iterdir()):
        if not _is_volume(path):
            if _is_stranger(path):
                warnings.append(f"{path}: is no volume and is left out")
            continue
        try:
            case_id, channel = _parse_name(path, description)
            channels[case_id][channel] = path
        except UserError as error:
            errors.append(error)
    _spread_series(channels, description)
    errors += _twins(sorted(channels), folder) + _holes(channels, description, folder)
    if not channels and not errors:
        remedy = f"expected files like {_pattern(description)}; to make them of others: {_conversion(folder)}"
        errors = [UserError(folder, "holds no case", remedy)]
    cases = tuple(
        CaseFiles(case_id, tuple(files[c] for c in sorted(files)))
        for case_id, files in sorted(channels.items())
        if len(files) == description.n_channels
    )
    return Survey(cases, tuple(errors), tuple(warnings))


def _is_volume(path: Path) -> bool:
    """Whether a file is to be taken for a volume."""
    name = path.name.lower()
    return name.endswith(FILE_ENDINGS) and not name.startswith(".") and not path.is_dir()


def _is_stranger(path: Path) -> bool:
    """Whether a file that is no volume does not belong to one either."""
    name = path.name.lower()
    return name.startswith(".") or path.is_dir() or not name.endswith(COMPANION_ENDINGS)


def _spread_series(channels: dict[str, dict[int, Path]], description: DatasetDescription) -> None:
    """Let a 4-D file that is all a case has, and holds one volume per channel, stand for all channels."""
    if description.n_channels == 1 or description.file_ending not in NIFTI_ENDINGS:
        return
    for files in channels.values():
        if set(files) == {0} and count_volumes(files[0]) == description.n_channels:
            files.update(dict.fromkeys(range(description.n_channels), files[0]))


def _parse_name(path: Path, description: DatasetDescription) -> tuple[str, int]:
    """The case id and the channel number of a file."""
    ending = description.file_ending
    if not path.name.endswith(ending):
        expected = path.name[: -len(volume_ending(path))] + ending
        if path.with_name(expected).exists():
            raise UserError(path, f"stands twice, also as {expected}", "remove one of them")
        reason = f"has not the file_ending of dataset.json, {ending}"
        raise UserError(path, reason, f"remove it, or convert all: {_conversion(path.parent)}")
    match = FILE_STEM.fullmatch(path.name[: -len(ending)])
    if match is None:
        raise UserError(path, "has no channel number", f"expected a name like {_pattern(description)}")
    channel = int(match["channel"])
    if channel >= description.n_channels:
        stated = f"dataset.json names {counted(description.n_channels, 'channel')}"
        raise UserError(
            path, f"is channel {channel}, but {stated}", "correct channel_names or remove the file"
        )
    return check_case_id(match["case_id"], path), channel


def _holes(
    channels: dict[str, dict[int, Path]], description: DatasetDescription, folder: Path
) -> list[DDError]:
    """Every file that a case lacks."""
    return [
        UserError(
            folder / f"{case_id}_{channel:04d}{description.file_ending}",
            f"is missing: case {case_id} lacks channel {channel} ({name})",
            "add the file or remove the case",
        )
        for case_id, files in sorted(channels.items())
        for channel, name in enumerate(description.channel_names)
        if channel not in files
    ]


def _twins(case_ids: list[str], folder: Path) -> list[DDError]:
    """Ids that are one on file systems that do not tell upper from lower case."""
    seen: dict[str, str] = {}
    errors: list[DDError] = []
    for case_id in case_ids:
        other = seen.setdefault(case_id.casefold(), case_id)
        if other != case_id:
            errors.append(
                UserError(folder, f"cases {other} and {case_id} differ in case only", "rename one of them")
            )
    return errors


def _conversion(folder: Path) -> str:
    """The command that makes a dataset of volumes of any names and endings."""
    return f"dd_convert_folder -i {folder} -d ID -n NAME"


def _pattern(description: DatasetDescription) -> str:
    return f"CASE_0000{description.file_ending}"
