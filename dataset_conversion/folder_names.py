"""Which files of a folder make up which case, and what the cases are to be called."""

import logging
import re
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from dd_nnunet.core.dataset import FILE_ENDINGS
from dd_nnunet.core.errors import DDError, UserError, joined
from dd_nnunet.storage.dicom_series import DicomSeries
from dd_nnunet.storage.integrity import volume_ending

# below the logger that the commands set up
LOGGER = logging.getLogger(f"dd_nnunet.{__name__}")

CHANNEL = re.compile(r"(?P<name>.+)_(?P<channel>\d{4})", re.DOTALL)
NOT_IN_IDS = re.compile(r"[^\w.+-]")
# leaves room for a number, the channel and the ending in the 255 bytes of a file name
LONGEST_ID_BYTES = 180
# data files of .mhd headers, and the spacings that stand beside TIFFs
COMPANION_ENDINGS = (".raw", ".zraw", ".json")
SHOWN_FOLDERS = 3


@dataclass(frozen=True)
class SourceCase:
    """One case to convert.

    Args:
        case_id: what it will be called.
        name: what its files are called, without channel number and ending.
        files: one per channel, in channel order; of a DICOM series, its slices.
        series: the DICOM series that the files are; None where they are volumes.
    """

    case_id: str
    name: str
    files: tuple[Path, ...]
    series: DicomSeries | None = None

    @property
    def n_channels(self) -> int:
        """How many channels the case has."""
        return 1 if self.series else len(self.files)

    @property
    def ending(self) -> str:
        """The ending of its first volume; "" if it is a DICOM series."""
        return "" if self.series else volume_ending(self.files[0])

    @property
    def where(self) -> Path:
        """What to name in messages: the first volume, or the folder of the series."""
        return self.series.folder if self.series else self.files[0]


def find_sources(folder: Path, one_channel: bool = False) -> tuple[SourceCase, ...]:
    """Find the cases of a folder, sorted by name.

    Where every name ends in a channel number, and these run from _0000 without a gap, files of one name are
    the channels of one case. Otherwise, or with `one_channel`, each file is a case.

    Raises:
        UserError: no folder or no volume in it; `ManyErrors` with every missing channel and every name that
            stands there twice.
    """
    files = _volume_files(folder)
    groups = _group_by_case(files, one_channel)
    twice = [name for name, numbered in groups.items() if max(Counter(n for n, _ in numbered).values()) > 1]
    errors: list[DDError] = [
        UserError(folder / name, "stands twice, with two endings", "remove one of them") for name in twice
    ]
    n_channels = 1 + max(number for numbered in groups.values() for number, _ in numbered)
    errors += [
        UserError(
            folder / f"{name}_{number:04d}",
            "is missing: other cases have it",
            "add the file, or move the case",
        )
        for name, numbered in groups.items()
        for number in sorted(set(range(n_channels)) - {n for n, _ in numbered})
    ]
    if errors:
        raise joined(errors)
    ids = plain_ids(list(groups))
    return tuple(
        SourceCase(ids[name], name, tuple(file for _, file in sorted(numbered)))
        for name, numbered in groups.items()
    )


def find_labels(folder: Path, cases: tuple[SourceCase, ...]) -> dict[str, Path]:
    """Find the label maps of the cases: the file called like the case, with any ending.

    Returns:
        Label file by the case's name; cases without one are left out, with a warning.

    Raises:
        UserError: no label map fits any case, or one stands there twice.
    """
    found: dict[str, Path] = {}
    for file in _volume_files(folder):
        name = _stem(file)
        if name in found:
            raise UserError(file, f"stands twice, also as {found[name].name}", "remove one of them")
        found[name] = file
    names = {case.name for case in cases}
    if not names & found.keys():
        raise UserError(
            folder, "holds no label map called like a case", f"expected e.g. {cases[0].name}.nii.gz"
        )
    for name in sorted(found.keys() - names):
        LOGGER.warning("%s: belongs to no case and is left out", found[name])
    for name in sorted(names - found.keys()):
        LOGGER.warning("%s: has no label map in %s", name, folder)
    return {name: file for name, file in found.items() if name in names}


def plain_ids(names: list[str]) -> dict[str, str]:
    """Give each name an id of letters, digits and `_-+.`, unique without regard to upper and lower case.

    What else stands in a name becomes `_`; ids that fall together get _2, _3, … in the order of the names.
    """
    ids: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        composed = unicodedata.normalize("NFC", name)
        plain = NOT_IN_IDS.sub("_", composed).encode()[:LONGEST_ID_BYTES].decode(errors="ignore")
        unique, number = plain, 1
        while unique.casefold() in taken:
            number += 1
            unique = f"{plain}_{number}"
        taken.add(unique.casefold())
        ids[name] = unique
    return ids


def _volume_files(folder: Path) -> list[Path]:
    """The volumes of a folder, sorted by name; strangers are left out with a warning."""
    if not folder.is_dir():
        raise UserError(folder, "is no folder", "give the folder that holds the volumes")
    files = []
    for path in sorted(folder.iterdir()):
        name = path.name.lower()
        if path.is_file() and not name.startswith(".") and name.endswith(FILE_ENDINGS):
            files.append(path)
        elif path.is_file() and not name.endswith(COMPANION_ENDINGS):
            LOGGER.warning("%s: is no volume and is left out", path)
    if files:
        return files
    allowed = f"expected files ending in {' '.join(FILE_ENDINGS)}"
    inside = sorted({p.parent.name for p in folder.glob("*/*") if p.name.lower().endswith(FILE_ENDINGS)})
    if inside:
        shown = ", ".join(inside[:SHOWN_FOLDERS]) + (", …" if len(inside) > SHOWN_FOLDERS else "")
        raise UserError(
            folder, f"holds no volume itself, only its folders do ({shown})", "give one folder of volumes"
        )
    raise UserError(folder, "holds no volume", allowed)


def _group_by_case(files: list[Path], one_channel: bool) -> dict[str, list[tuple[int, Path]]]:
    """(channel, file) of each case, by the case's name."""
    matches = {file: CHANNEL.fullmatch(_stem(file)) for file in files}
    numbers = {int(match["channel"]) for match in matches.values() if match}
    numbered = all(matches.values()) and numbers == set(range(len(numbers)))
    groups: dict[str, list[tuple[int, Path]]] = defaultdict(list)
    for file, match in matches.items():
        if match and numbered and not one_channel:
            groups[match["name"]].append((int(match["channel"]), file))
        else:
            groups[_stem(file)].append((0, file))
    return dict(sorted(groups.items()))


def _stem(file: Path) -> str:
    return file.name[: -len(volume_ending(file))]
