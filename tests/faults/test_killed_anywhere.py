"""Killed at any write point of training, prediction or report: the same command ends with the same results."""

from pathlib import Path

import numpy as np
import pytest
from killing import different, kill_and_repeat
from planned import NAME, cells, make_faulty

from dd_nnunet.storage.atomic import write_json
from dd_nnunet.storage.volume import read_geometry, write_labels

DESCRIPTION = {"labels": {"background": 0, "cell": 1}, "parts": {"level1": 2, "level2": 2}}
DESCRIPTION["levels"] = {f"level{level}": {"background": [0], "cell": [1]} for level in (1, 2)}
FOLDERS = [
    text for name in ("raw", "preprocessed", "results") for text in (f"--{name}", f"{{root}}/{name}")
]
FLAGS = [*FOLDERS, "--no_pbar", "-q"]
TRAIN = ["5", "3d_fullres", "0", "-device", "cpu", *FLAGS]
PREDICT = ["-d", "5", "-f", "0", "-i", f"{{root}}/raw/{NAME}/imagesTr", "-o", "{root}/out"]
PREDICT += ["--continue_prediction", "--disable_tta", "-device", "cpu", *FLAGS]
REPORT = ["-d", "5", "-f", "0", *FLAGS]


def start_folder(root: Path) -> Path:
    """Three labelled cells, planned and prepared; two blocks of diffusion training, two epochs per level."""
    volumes = cells(3)
    dataset = make_faulty(root, volumes, description=DESCRIPTION)
    for case_id, array in volumes.items():
        geometry = read_geometry(dataset.raw / "imagesTr" / f"{case_id}_0000.nii.gz")
        write_labels(dataset.raw / "labelsTr" / f"{case_id}.nii.gz", (array > 50).astype(np.uint8), geometry)
    assert dataset.run("-q") == 0
    plan = dataset.json("ddPlans.json")
    planned = plan["configurations"]["3d_fullres"]
    planned["diffusion"] |= {"iterations": 2, "channels": _narrow(planned["diffusion"]["channels"])}
    planned["segmenter"] |= {"epochs": 2, "iterations_per_epoch": 1, "warm_start_epochs": 1}
    planned["segmenter"]["features_per_stage"] = _narrow(planned["segmenter"]["features_per_stage"])
    planned["features"] |= {"n_draws": 1}
    write_json(dataset.preprocessed / "ddPlans.json", plan)
    return root


def _narrow(channels: list[int]) -> list[int]:
    return [4 * 2**stage for stage in range(len(channels))]


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
    assert len(list((whole / "out").rglob("*.nii.gz"))) == 2 * 3
    check(whole, killed)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_training_at_every_write_point(tmp_path: Path) -> None:
    whole, killed = kill_and_repeat(start_folder(tmp_path / "start"), tmp_path / "train", "train:main", TRAIN)
    assert len(killed) > 50
    check(whole, killed)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("command", "flags"), [("predict:main", PREDICT), ("report:main", REPORT)])
def test_what_follows_training_at_every_write_point(
    some_trainings: tuple[Path, list[Path]], tmp_path: Path, command: str, flags: list[str]
) -> None:
    whole, killed = kill_and_repeat(some_trainings[0], tmp_path, command, flags)
    check(whole, killed)
