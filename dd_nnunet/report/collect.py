"""Find everything a report can show: what is missing is None or empty, never an error."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dd_nnunet.core.dataset import CaseFiles, DatasetDescription
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.fingerprint import DatasetFingerprint
from dd_nnunet.core.plan import ConfigurationPlan, LevelPlan, Plan
from dd_nnunet.core.plan_names import plans_flag
from dd_nnunet.core.splits import Fold
from dd_nnunet.report.run_record import Json, RunRecord, read_run
from dd_nnunet.storage.atomic import read_json, read_record
from dd_nnunet.storage.raw_dataset import find_cases, load_description
from dd_nnunet.storage.workspace import DatasetFolders


@dataclass(frozen=True)
class ReportRequest:
    """What to report on.

    Args:
        folders: of the dataset.
        plans_name, configuration, fold: the model, and whose training is shown.
        predictions: a folder with level1/, level2/ …, instead of the fold's validation cases.
        images: raw images of those cases, instead of imagesTr.
        truth: true labels of those cases, instead of labelsTr.
        n_cases: cases shown as pictures, at most.
    """

    folders: DatasetFolders
    plans_name: str
    configuration: str
    fold: str
    predictions: Path | None = None
    images: Path | None = None
    truth: Path | None = None
    n_cases: int = 3


@dataclass(frozen=True)
class LevelResult:
    """What there is of one level.

    Args:
        plan: of the level.
        run: its training, or None.
        predictions: label map file per case.
        summary: scores of the validation cases, or None.
        label_map: part of each true class, or None where nothing was matched.
        part_order: training's number of part 0, 1 …, or None.
    """

    plan: LevelPlan
    run: RunRecord | None
    predictions: Mapping[str, Path]
    summary: Json | None
    label_map: Json | None
    part_order: Sequence[int] | None = None


@dataclass(frozen=True)
class Baseline:
    """A rival on the same cases: the method's name and its summary per level."""

    method: str
    summaries: Mapping[int, Json]


@dataclass(frozen=True)
class PredictionRecord:
    """predictions.json: the folds that were averaged, and what is told of each case."""

    folds: tuple[str, ...] = ()
    cases: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Collected:
    """All pieces of a report.

    Args:
        request: what was asked for.
        plan, description, fingerprint: of the dataset; the fingerprint may be missing.
        cases: that the fold trained on and validated, where the splits are known.
        images: raw files per case; empty where the raw dataset is not at hand.
        truth: file of true labels per case; empty for unlabelled data.
        diffusion: the pretraining, or None.
        levels: in the order of the plan.
        baselines: found beside the model.
        predicted: what dd_predict wrote of `predictions`; empty for the held-out cases.
    """

    request: ReportRequest
    plan: Plan
    description: DatasetDescription
    fingerprint: DatasetFingerprint | None
    cases: Fold | None
    images: Mapping[str, CaseFiles]
    truth: Mapping[str, Path]
    diffusion: RunRecord | None
    levels: tuple[LevelResult, ...]
    baselines: tuple[Baseline, ...]
    predicted: PredictionRecord

    @property
    def shown_cases(self) -> tuple[str, ...]:
        """Ids of the cases to picture: predicted ones first, else held-out ones, else any image."""
        predicted = sorted({case for level in self.levels for case in level.predictions} & set(self.images))
        held_out = [case for case in (self.cases.val if self.cases else ()) if case in self.images]
        return tuple((predicted or held_out or sorted(self.images))[: self.request.n_cases])


def collect(request: ReportRequest) -> Collected:
    """Read what the folders of a dataset hold.

    Raises:
        UserError: there is no plan of that name, the configuration is not in it, or a file cannot be read.
    """
    folders = request.folders
    model = folders.model(request.plans_name, request.configuration)
    plan = find_plan(folders, request.plans_name, request.configuration)
    description = load_description(_first_file(model / "dataset.json", folders.dataset_json))
    fold_folder = model / f"fold_{request.fold}"
    images = _images(request, description)
    fingerprint = _optional(model / "dataset_fingerprint.json", folders.fingerprint_json)
    configuration = plan.configuration(request.configuration)
    levels = configuration.levels
    return Collected(
        request=request,
        plan=plan,
        description=description,
        fingerprint=read_record(DatasetFingerprint, fingerprint) if fingerprint else None,
        cases=_fold(request, images),
        images=images,
        truth=_truth(request, description),
        diffusion=read_run(fold_folder / "diffusion"),
        levels=tuple(_level(request, configuration, level, fold_folder, description) for level in levels),
        # their scores are those of the held-out cases
        baselines=() if request.predictions else tuple(_baselines(request, levels)),
        predicted=_predicted(request),
    )


def find_plan(folders: DatasetFolders, plans_name: str, configuration: str | None) -> Plan:
    """The plan beside the trained folds, of that configuration or of any, or else the dataset's own.

    Raises:
        UserError: there is no plan of that name.
    """
    models = folders.models(plans_name)
    trained = [path for name, path in models.items() if configuration in (name, None)]
    path = _first_file(*(model / "plans.json" for model in trained), folders.plans_json(plans_name))
    if not path.is_file():
        named = plans_flag(plans_name, "-overwrite_plans_name")
        remedy = f"run dd_plan_and_preprocess -d {folders.name}{named} first, or name the plan with -p"
        raise UserError(path, f"there is no plan {plans_name!r}", remedy)
    return read_record(Plan, path)


def trained_folds(model: Path) -> tuple[str, ...]:
    """Names of the folds of a model folder whose training has begun; not those that were moved aside."""
    runs = [*model.glob("fold_*/diffusion"), *model.glob("fold_*/level*")]
    names = {run.parent.name.removeprefix("fold_") for run in runs if run.is_dir()}
    return tuple(sorted(name for name in names if "." not in name))


def _images(request: ReportRequest, description: DatasetDescription) -> dict[str, CaseFiles]:
    folder = request.images
    if folder is None and request.folders.raw is not None and request.folders.images_tr.is_dir():
        folder = request.folders.images_tr
    if folder is None:
        return {}
    return {case.case_id: case for case in find_cases(folder, description)}


def _truth(request: ReportRequest, description: DatasetDescription) -> dict[str, Path]:
    folder = request.truth
    own = request.predictions is None and request.folders.raw is not None
    if folder is None and own and description.labels:
        folder = request.folders.labels_tr
    return {} if folder is None else _label_files(folder, description)


def _label_files(folder: Path, description: DatasetDescription) -> dict[str, Path]:
    ending = description.file_ending
    files = sorted(folder.glob(f"*{ending}")) if folder.is_dir() else []
    return {path.name.removesuffix(ending): path for path in files if not path.name.startswith(".")}


def _fold(request: ReportRequest, images: Mapping[str, CaseFiles]) -> Fold | None:
    path = request.folders.splits_json
    if request.fold == "all":
        return Fold(train=tuple(sorted(images)), val=tuple(sorted(images)))
    folds = _json(path)
    if not isinstance(folds, list) or request.fold not in map(str, range(len(folds))):
        return None
    chosen = folds[int(request.fold)]
    return Fold(train=tuple(chosen["train"]), val=tuple(chosen["val"]))


def _level(
    request: ReportRequest,
    configuration: ConfigurationPlan,
    plan: LevelPlan,
    fold_folder: Path,
    description: DatasetDescription,
) -> LevelResult:
    folder = fold_folder / f"level{plan.level}"
    shown = (request.predictions or folder) / (f"level{plan.level}" if request.predictions else "validation")
    summary = _json(shown / "summary.json")
    numbering = _json(shown / "part_numbering.json") or {}
    run = read_run(fold_folder / configuration.group(plan).folder)
    return LevelResult(
        plan=plan,
        run=run.of_level(plan.level) if run else None,
        predictions=_label_files(shown, description),
        summary=summary,
        label_map=summary["label_map"] if summary else _json(shown / "label_map.json"),
        part_order=numbering.get("network_channel_of_part"),
    )


def _predicted(request: ReportRequest) -> PredictionRecord:
    """What dd_predict wrote; a run split over machines leaves several files."""
    folder = request.predictions
    if folder is None:
        return PredictionRecord()
    folds: list[str] = []
    cases: dict[str, Json] = {}
    named = sorted(folder.glob(f"predictions_{request.configuration}*.json"))
    for path in named or sorted(folder.glob("predictions*.json")):
        record = _json(path) or {}
        folds += map(str, record.get("folds") or ())
        cases.update(record.get("cases") or {})
    return PredictionRecord(tuple(dict.fromkeys(folds)), cases)


def _baselines(request: ReportRequest, levels: tuple[LevelPlan, ...]) -> Iterator[Baseline]:
    wanted = request.folders.baseline("*", request.plans_name, request.configuration)
    for folder in sorted(wanted.parent.glob(wanted.name)):
        summaries = {}
        for level in levels:
            path = folder / f"fold_{request.fold}" / f"level{level.level}" / "validation" / "summary.json"
            summary = _json(path)
            if summary:
                summaries[level.level] = summary
        if summaries:
            yield Baseline(method=folder.name.split("__")[1], summaries=summaries)


def _json(path: Path) -> Any:
    return read_json(path) if path.is_file() else None


def _optional(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _first_file(*paths: Path) -> Path:
    return _optional(*paths) or paths[-1]
