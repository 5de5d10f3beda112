"""The three folders of a user, and where each dataset's files lie in them."""

import os
from dataclasses import dataclass
from pathlib import Path

from dd_nnunet.core.dataset import DATASET_NAME
from dd_nnunet.core.errors import UserError

VARIABLES = {
    "raw": ("dd_raw", "nnUNet_raw"),
    "preprocessed": ("dd_preprocessed",),
    "results": ("dd_results",),
}


class ModelPlaces:
    """Where the models of one dataset lie below its results."""

    results: Path

    def model(self, plans_name: str, configuration: str) -> Path:
        """The trained folds of a configuration."""
        return self.results / model_name(plans_name, configuration)

    def models(self, plans_name: str) -> dict[str, Path]:
        """The model folders of a plan that are there, by configuration."""
        prefix = model_name(plans_name, "")
        found = sorted(self.results.glob(f"{prefix}*/plans.json"))
        return {
            path.parent.name.removeprefix(prefix): path.parent
            for path in found
            if "." not in path.parent.name
        }

    def baseline(self, method: str, plans_name: str, configuration: str) -> Path:
        """The results of a baseline on the folds of a configuration."""
        return self.results / f"ddBaseline__{method}__{plans_name}__{configuration}"


@dataclass(frozen=True)
class TrainedFolders(ModelPlaces):
    """Where the models of one dataset lie, where nothing else of it need be at hand.

    Args:
        name: e.g. "Dataset007_Cells".
        results: trained models.
    """

    name: str
    results: Path


@dataclass(frozen=True)
class DatasetFolders(ModelPlaces):
    """Where the files of one dataset lie; nothing is made or opened here.

    Args:
        name: e.g. "Dataset007_Cells".
        raw: the raw dataset, or None where only prepared data or results are at hand.
        preprocessed: prepared data, plans, splits.
        results: trained models.
    """

    name: str
    raw: Path | None
    preprocessed: Path
    results: Path

    @property
    def images_tr(self) -> Path:
        """Raw training images."""
        return self._raw() / "imagesTr"

    @property
    def images_ts(self) -> Path:
        """Raw test images."""
        return self._raw() / "imagesTs"

    @property
    def labels_tr(self) -> Path:
        """True labels of the training images; often missing, opened by evaluation only."""
        return self._raw() / "labelsTr"

    @property
    def labels_ts(self) -> Path:
        """True labels of the test images; often missing, opened by evaluation only."""
        return self._raw() / "labelsTs"

    @property
    def dataset_json(self) -> Path:
        """The raw dataset's description, or the copy beside the prepared data."""
        return (self.preprocessed if self.raw is None else self.raw) / "dataset.json"

    @property
    def fingerprint_json(self) -> Path:
        """The dataset's fingerprint."""
        return self.preprocessed / "dataset_fingerprint.json"

    @property
    def measured_cases(self) -> Path:
        """What was measured of each case."""
        return self.preprocessed / "measured_cases"

    @property
    def splits_json(self) -> Path:
        """The folds."""
        return self.preprocessed / "splits_final.json"

    def plans_json(self, plans_name: str) -> Path:
        """The plan of that name."""
        return self.preprocessed / f"{plans_name}.json"

    def prepared(self, plans_name: str, configuration: str) -> Path:
        """The prepared cases of a configuration."""
        return self.preprocessed / f"{plans_name}_{configuration}"

    def _raw(self) -> Path:
        if self.raw is None:
            raise UserError(
                self.name, "its raw folder is missing", f"set dd_raw to the folder that holds {self.name}"
            )
        return self.raw


@dataclass(frozen=True)
class Workspace:
    """The folders that hold all raw datasets, all prepared ones, and all results; None where unset.

    `raw_is_ours` is False where the raw folder is nnUNet_raw, which is read and never written.
    """

    raw: Path | None
    preprocessed: Path | None
    results: Path | None
    raw_is_ours: bool = True

    @classmethod
    def from_environment(
        cls,
        raw: str | Path | None = None,
        preprocessed: str | Path | None = None,
        results: str | Path | None = None,
    ) -> "Workspace":
        """Each folder is its argument, else dd_raw (or nnUNet_raw), dd_preprocessed, dd_results."""
        given = {"raw": raw, "preprocessed": preprocessed, "results": results}
        folders = {part: _find(given[part], names) for part, names in VARIABLES.items()}
        return cls(**folders, raw_is_ours=folders["raw"] == _find(raw, VARIABLES["raw"][:1]))

    def raw_folder(self) -> Path:
        """The folder of all raw datasets.

        Raises:
            UserError: it is not set.
        """
        return self._needed("raw")

    def own_raw_folder(self) -> Path:
        """The folder of all raw datasets, to write new ones.

        Raises:
            UserError: it is not set, or it is nnUNet_raw.
        """
        if not self.raw_is_ours:
            raise UserError("nnUNet_raw", "is never written", "give --raw DIR or run: export dd_raw=DIR")
        return self.raw_folder()

    def preprocessed_folder(self) -> Path:
        """The folder of all prepared datasets.

        Raises:
            UserError: it is not set.
        """
        return self._needed("preprocessed")

    def results_folder(self) -> Path:
        """The folder of all results.

        Raises:
            UserError: it is not set.
        """
        return self._needed("results")

    def dataset(self, id_or_name: str | int) -> DatasetFolders:
        """Find a dataset by its number (7, "7", "007") or by its full name.

        Raises:
            UserError: a needed folder is not set; no such dataset, or two with that number.
        """
        preprocessed, results = self.preprocessed_folder(), self.results_folder()
        name = self._name_of(str(id_or_name).strip())
        raw = self.raw / name if self.raw is not None and (self.raw / name).is_dir() else None
        return DatasetFolders(name, raw, preprocessed / name, results / name)

    def trained(self, id_or_name: str | int) -> TrainedFolders:
        """As `dataset`, for who wants its models only; dd_preprocessed need not be set."""
        results = self.results_folder()
        name = self._name_of(str(id_or_name).strip())
        return TrainedFolders(name, results / name)

    def dataset_names(self) -> tuple[str, ...]:
        """The names of all datasets in any of the three folders, sorted.

        Raises:
            UserError: none of them is set, or one is a file.
        """
        folders = [folder for folder in (self.raw, self.preprocessed, self.results) if folder is not None]
        for folder in folders:
            if folder.is_file():
                remedy = f"give a folder of datasets, e.g. {folder.absolute().parent}"
                raise UserError(folder, "is a file, a folder of datasets is wanted", remedy)
        if not folders:
            self._needed("raw")
        entries = (entry for folder in folders if folder.is_dir() for entry in folder.iterdir())
        return tuple(sorted({entry.name for entry in entries if DATASET_NAME.fullmatch(entry.name)}))

    def _name_of(self, wanted: str) -> str:
        known = self.dataset_names()
        if wanted in known:
            return wanted
        # the whole number is compared, so that 100 is not found in Dataset1000_…
        found = [name for name in known if wanted.isdecimal() and _number(name) == int(wanted)]
        if len(found) > 1:
            raise UserError(
                f"dataset {wanted}", f"is ambiguous: {', '.join(found)}", "rename one, or give the full name"
            )
        if not found:
            searched = ", ".join(str(f) for f in (self.raw, self.preprocessed, self.results) if f is not None)
            listed = ", ".join(known) or "none"
            hint = "give a number or a name, not a path; " if Path(wanted).name != wanted else ""
            raise UserError(
                f"dataset {wanted}", f"not found in {searched}", f"{hint}known datasets: {listed}"
            )
        return found[0]

    def _needed(self, part: str) -> Path:
        folder: Path | None = getattr(self, part)
        if folder is None:
            variable = VARIABLES[part][0]
            state = ", ".join(f"dd_{p}={getattr(self, p) or '(unset)'}" for p in VARIABLES)
            raise UserError(
                variable,
                f"the folder is not set ({state})",
                f"give it as --{part} DIR or run: export {variable}=DIR",
            )
        return folder


def model_name(plans_name: str, configuration: str) -> str:
    """The name of a model's folder below its dataset's results."""
    return f"ddTrainer__{plans_name}__{configuration}"


def make_cuda_repeatable() -> None:
    """Ask cuBLAS for a workspace with which it gives the same bits every time; before CUDA is first used.

    Source: NVIDIA's cuBLAS manual, "Results reproducibility".
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def _find(given: str | Path | None, variables: tuple[str, ...]) -> Path | None:
    candidates = [str(given)] if given is not None else [os.environ.get(name, "") for name in variables]
    for text in map(_clean, candidates):
        if text:
            return Path(text).expanduser()
    return None


def _clean(text: str) -> str:
    """Without the spaces and quotes that a shell script or a settings file may have left around a path."""
    return text.strip().strip("\"'").strip()


def _number(name: str) -> int:
    match = DATASET_NAME.fullmatch(name)
    assert match is not None, name
    return int(match[1])
