"""F37: folders that cannot be made or written are an error before any work, in every command that writes."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from planned import Faulty
from short_training import PREDICT, TRAIN, prepare_training, write_untrained_model

from dd_nnunet.commands import (
    accumulate,
    baseline,
    convert,
    evaluate,
    model_zip,
    plan_and_preprocess,
    predict,
    report,
    train,
)
from dd_nnunet.storage.atomic import check_output_folder

PLAN = ["-d", "5", "-np", "0", "--preset", "fast", "--no_pbar"]
PREPARE = ["-d", "5", "-np", "0", "--no_pbar"]
# the work of the commands: none of it may begin
WORK = (
    "dd_nnunet.preprocessing.dataset.map_cases",
    "dd_nnunet.planning.plan_dataset.plan_dataset",
    "dd_nnunet.training.pretrain_diffusion.pretrain_diffusion",
    "dd_nnunet.prediction.model_folder.ModelFolder.segmenter",
    "dd_nnunet.report.page.collect",
    "dd_nnunet.evaluation.folder.evaluate_levels",
    "dd_nnunet.evaluation.baselines.predict.predict_case",
    "dd_nnunet.evaluation.crossval.merge_summaries",
    "dataset_conversion.synthcell_dataset.write_synthcell",
    "dataset_conversion.folder.convert_folder",
    "dd_nnunet.storage.model_archive.zipfile.ZipFile",
)
Command = tuple[Callable[[list[str]], int], list[str], str]
COMMANDS: dict[str, Command] = {
    "plan_and_preprocess": (plan_and_preprocess.main, PLAN, "preprocessed"),
    "extract_fingerprint": (plan_and_preprocess.main_fingerprint, PREPARE, "preprocessed"),
    "plan_experiment": (plan_and_preprocess.main_plan, ["-d", "5", "--preset", "fast"], "preprocessed"),
    "preprocess": (plan_and_preprocess.main_preprocess, PREPARE, "preprocessed"),
    "train": (train.main, TRAIN, "results"),
    "predict": (predict.main, [*PREDICT, "-i", "{images}", "-o", "{root}/out"], "out"),
    "report": (report.main, ["-d", "5", "-o", "{root}/out/report.html"], "out"),
    "evaluate": (evaluate.main, ["{validated}", "{labels}", "-d", "5"], "results"),
    "baseline": (baseline.main, ["-d", "5", "--method", "kmeans", "--no_pbar"], "results"),
    "baseline -i": (
        baseline.main,
        ["-d", "5", "--method", "kmeans", "-i", "{images}", "-o", "{root}/out", "--no_pbar"],
        "out",
    ),
    "accumulate": (accumulate.main, ["-d", "5", "-f", "0"], "results"),
    "convert_synthcell": (convert.main_synthcell, ["-d", "9", "--mini"], "raw"),
    "convert_folder": (convert.main_folder, ["-i", "{images}", "-d", "9", "-n", "Cells"], "raw"),
    "export_model_to_zip": (model_zip.main_export, ["-d", "5", "-o", "{root}/out/model.zip"], "out"),
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Faulty:
    dataset = prepare_training(tmp_path_factory.mktemp("dataset"))
    write_untrained_model(dataset)
    (case,) = dataset.json("splits_final.json")[0]["val"]
    truth = (dataset.raw / "labelsTr" / f"{case}.nii.gz").read_bytes()
    for level in (1, 2):
        validation = dataset.model / "fold_0" / f"level{level}" / "validation"
        validation.mkdir(parents=True)
        (validation / f"{case}.nii.gz").write_bytes(truth)
        (validation / "summary.json").write_text(f'{{"metric_per_case": [{{"case": "{case}"}}]}}')
    return dataset


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        pytest.fail("the command has begun to work")

    for name in WORK:
        monkeypatch.setattr(name, fail)


def make_read_only(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """As a mount without write permission is, for the superuser too."""

    def refusing(function: Callable[..., object]) -> Callable[..., object]:
        def refuse(path: Path, *args: object, **kwargs: object) -> object:
            if folder in path.parents and not path.is_dir():
                raise OSError(errno.EROFS, "Read-only file system", str(path))
            return function(path, *args, **kwargs)

        return refuse

    for name in ("write_bytes", "mkdir"):
        monkeypatch.setattr(Path, name, refusing(getattr(Path, name)))


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("name", COMMANDS)
def test_read_only(
    dataset: Faulty, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    main, arguments, folder = COMMANDS[name]
    known = {
        "root": dataset.root,
        "images": dataset.raw / "imagesTr",
        "labels": dataset.raw / "labelsTr",
        "validated": dataset.model / "fold_0",
    }
    before = sorted(dataset.root.rglob("*"))
    make_read_only(monkeypatch, dataset.root / folder)
    assert main([*(text.format(**known) for text in arguments), *dataset.flags]) == 2
    error = capsys.readouterr().err
    assert str(dataset.root / folder) in error
    assert "may not be written (Read-only file system); correct the folder's permissions" in error
    assert error.count("\n") == 1
    new = [path for path in dataset.root.rglob("*") if path not in before]
    assert [path for path in new if not path.is_dir() and path.name != ".lock"] == []


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("flag", "name"), [("--preprocessed", "plan_and_preprocess"), ("--results", "train")]
)
def test_missing_and_not_to_be_made(
    dataset: Faulty, tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str, name: str
) -> None:
    (tmp_path / "disk").write_text("no folder, as where nothing is mounted")
    main, arguments, _ = COMMANDS[name]
    folders = [*dataset.flags, flag, str(tmp_path / "disk" / "folder")]
    assert main([*arguments, *folders]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / "disk" / "folder") in error and "choose another folder" in error
    assert error.count("\n") == 1


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    check_output_folder(tmp_path / "results" / "Dataset005_Faults")
    assert list((tmp_path / "results" / "Dataset005_Faults").iterdir()) == []
