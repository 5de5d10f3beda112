"""Killed at any write point of training, prediction or report: the same command ends with the same results."""

from pathlib import Path

import pytest
from killing import different, kill_and_repeat
from planned import NAME
from short_training import PREDICT, TRAIN, prepare_training

FOLDERS = [text for name in ("raw", "preprocessed", "results") for text in (f"--{name}", f"{{root}}/{name}")]
IN_AND_OUT = ["-i", f"{{root}}/raw/{NAME}/imagesTr", "-o", "{root}/out"]
PREDICTION = ("predict:main", [*PREDICT, *IN_AND_OUT, "--continue_prediction", *FOLDERS])
REPORT = ("report:main", ["-d", "5", "-f", "0", "-q", *FOLDERS])


def check(whole: Path, killed: list[Path]) -> None:
    for root in killed:
        assert different(whole, root) == [], root.name


@pytest.fixture(scope="module")
def some_trainings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    root = tmp_path_factory.mktemp("killed")
    start = prepare_training(root / "start").root
    return kill_and_repeat(start, root / "train", "train:main", [*TRAIN, *FOLDERS], sample=2)


def test_training(some_trainings: tuple[Path, list[Path]]) -> None:
    whole, killed = some_trainings
    assert len(list(whole.rglob("checkpoint_final.pth"))) == 2
    check(whole, killed)


def test_prediction(some_trainings: tuple[Path, list[Path]], tmp_path: Path) -> None:
    whole, killed = kill_and_repeat(some_trainings[0], tmp_path, *PREDICTION, sample=2)
    assert len(list((whole / "out").rglob("*.nii.gz"))) == 2 * 3
    check(whole, killed)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("nested", "sample"), [(True, None), (False, 20)], ids=["one network", "a network per level"]
)
def test_training_at_every_write_point(tmp_path: Path, nested: bool, sample: int | None) -> None:
    """At every one of pretraining and the levels' network; at some where each level has its own."""
    start = prepare_training(tmp_path / "start", nested=nested).root
    whole, killed = kill_and_repeat(start, tmp_path / "train", "train:main", [*TRAIN, *FOLDERS], sample)
    assert len(killed) >= 20
    check(whole, killed)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("command", "flags"), [PREDICTION, REPORT])
def test_what_follows_training_at_every_write_point(
    some_trainings: tuple[Path, list[Path]], tmp_path: Path, command: str, flags: list[str]
) -> None:
    whole, killed = kill_and_repeat(some_trainings[0], tmp_path, command, flags)
    check(whole, killed)
