"""Killed at any write point of training, prediction or report: the same command ends with the same results."""

import dataclasses
from pathlib import Path

import pytest
from killing import different, kill_and_repeat
from small_dataset import CASES, NAME, make_dataset, make_plan

from dd_nnunet.storage.atomic import write_json

FOLDERS = [
    text for name in ("raw", "preprocessed", "results") for text in (f"--{name}", f"{{root}}/{name}")
]
FLAGS = [*FOLDERS, "--no_pbar", "-q"]
TRAIN = ["7", "3d_fullres", "0", "-device", "cpu", *FLAGS]
PREDICT = ["-d", "7", "-f", "0", "-i", f"{{root}}/raw/{NAME}/imagesTr", "-o", "{root}/out"]
PREDICT += ["--continue_prediction", "--disable_tta", "-device", "cpu", *FLAGS]
REPORT = ["-d", "7", "-f", "0", *FLAGS]


def start_folder(root: Path) -> Path:
    """Five prepared cells, and a plan of two blocks of diffusion training and two epochs per level."""
    preprocessed = make_dataset(root).folders.preprocessed
    plan = make_plan()
    planned = plan.configuration("3d_fullres")
    short = dataclasses.replace(
        planned,
        diffusion=dataclasses.replace(planned.diffusion, iterations=2, channels=(4, 8)),
        segmenter=dataclasses.replace(
            planned.segmenter, epochs=2, warm_start_epochs=1, features_per_stage=(4, 8)
        ),
    )
    write_json(
        preprocessed / "ddPlans.json", dataclasses.replace(plan, configurations={"3d_fullres": short})
    )
    return root


def check(whole: Path, killed: list[Path]) -> None:
    for root in killed:
        assert different(whole, root) == [], root.name



@pytest.fixture(scope="module")
def some_trainings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    root = tmp_path_factory.mktemp("killed")
    start = start_folder(root / "start")
    return kill_and_repeat(start, root / "train", "train:main", TRAIN, sample=2)


def test_training(some_trainings: tuple[Path, list[Path]]) -> None:
    whole, killed = some_trainings
    assert len(list(whole.rglob("checkpoint_final.pth"))) == 3
    check(whole, killed)


def test_prediction(some_trainings: tuple[Path, list[Path]], tmp_path: Path) -> None:
    whole, killed = kill_and_repeat(some_trainings[0], tmp_path, "predict:main", PREDICT, sample=2)
    assert len(list((whole / "out").rglob("*.nii.gz"))) == 2 * len(CASES)
    check(whole, killed)


def test_report(some_trainings: tuple[Path, list[Path]], tmp_path: Path) -> None:
    whole, killed = kill_and_repeat(some_trainings[0], tmp_path, "report:main", REPORT, sample=2)
    assert len(list(whole.rglob("report_fold_0.html"))) == 1
    check(whole, killed)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_training_at_every_write_point(tmp_path: Path) -> None:
    whole, killed = kill_and_repeat(start_folder(tmp_path / "start"), tmp_path / "train", "train:main", TRAIN)
    assert len(killed) > 100
    check(whole, killed)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("command", "flags"), [("predict:main", PREDICT), ("report:main", REPORT)])
def test_what_follows_training_at_every_write_point(
    some_trainings: tuple[Path, list[Path]], tmp_path: Path, command: str, flags: list[str]
) -> None:
    whole, killed = kill_and_repeat(some_trainings[0], tmp_path, command, flags)
    check(whole, killed)
