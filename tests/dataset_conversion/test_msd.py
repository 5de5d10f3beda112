"""dd_convert_msd: a task of the decathlon becomes a raw dataset, 4-D images a file per channel."""

import json

import numpy as np
import pytest
import SimpleITK

from dataset_conversion import msd
from dd_nnunet.commands import convert_published
from dd_nnunet.core.case import Geometry
from dd_nnunet.storage.atomic import read_json
from dd_nnunet.storage.raw_dataset import find_cases, load_description
from dd_nnunet.storage.volume import read_label_map, read_volume, write_image

TURNED = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
GRID = Geometry((5, 4, 3), (0.5, 0.75, 3.0), (10.0, -20.0, 7.5), TURNED)
VOXELS = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
LABELS = (VOXELS // 20).astype(np.uint8)
ONE = {"0": "MRI"}
TWO = {"0": "T2", "1": "ADC"}


def make_task(source, modality, names=("a_001", "a_004"), tests=("a_002",)):
    """A task whose image k holds 100 k + its voxels; channel 1 is half of channel 0."""
    for number, name in enumerate([*names, *tests]):
        folder = source / ("imagesTr" if name in names else "imagesTs")
        write_volumes(folder / f"{name}.nii.gz", [VOXELS + 100 * number, VOXELS / 2][: len(modality)])
        if name in names:
            write_image(source / "labelsTr" / f"{name}.nii.gz", LABELS, GRID)
    data = {
        "name": "Made up",
        "licence": "CC-BY-SA 4.0",
        "modality": modality,
        "labels": {"0": "background", "1": "front", "2": "back"},
        "numTraining": 99,
        "training": [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in names],
        "test": [f"./imagesTs/{n}.nii.gz" for n in tests],
    }
    (source / "dataset.json").write_text(json.dumps(data))
    return data


def write_volumes(path, channels):
    if len(channels) == 1:
        write_image(path, channels[0].astype(np.int16), GRID)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    images = []
    for channel in channels:
        image = SimpleITK.GetImageFromArray(channel.astype(np.float32))
        image.SetSpacing(GRID.spacing_xyz_mm)
        image.SetOrigin(GRID.origin_xyz_mm)
        image.SetDirection(GRID.direction)
        images.append(image)
    SimpleITK.WriteImage(SimpleITK.JoinSeries(images), str(path))


@pytest.fixture
def paths(tmp_path):
    return tmp_path / "Task05_Prostate", tmp_path / "raw"


def run(paths, *flags):
    return convert_published.main_msd(
        ["-i", str(paths[0]), "-d", "5", "--raw", str(paths[1]), "--no_pbar", *flags]
    )


def cases_of(folder, part):
    description = load_description(folder)
    return {
        c.case_id: read_volume(c.channel_files) for c in find_cases(folder / f"images{part}", description)
    }


def test_a_task_of_one_modality(paths, capsys):
    make_task(paths[0], ONE)
    for junk in ("imagesTr/._a_001.nii.gz", "labelsTr/._a_001.nii.gz", "._dataset.json"):
        (paths[0] / junk).write_bytes(b"junk")
    assert run(paths) == 0
    printed = capsys.readouterr().out
    assert "2 training and 1 test case" in printed
    assert "dd_plan_and_preprocess -d 5 is next" in printed
    folder = paths[1] / "Dataset005_Prostate"
    description = load_description(folder)
    assert description.channel_names == ("MRI",)
    assert description.labels == {"background": 0, "front": 1, "back": 2}
    assert description.n_training_stated == 2
    assert read_json(folder / "dataset.json")["source"] == {"name": "Made up", "licence": "CC-BY-SA 4.0"}
    training, test = cases_of(folder, "Tr"), cases_of(folder, "Ts")
    assert (list(training), list(test)) == (["a_001", "a_004"], ["a_002"])
    for number, volume in enumerate([*training.values(), *test.values()]):
        np.testing.assert_array_equal(volume.array[0], VOXELS + 100 * number)
        assert volume.source_dtypes == ("int16",)
        assert volume.geometry == GRID
    labels, geometry = read_label_map(folder / "labelsTr/a_004.nii.gz")
    np.testing.assert_array_equal(labels, LABELS)
    assert geometry == GRID


def test_a_task_of_two_modalities(paths):
    make_task(paths[0], TWO)
    assert run(paths, "--name", "Two") == 0
    folder = paths[1] / "Dataset005_Two"
    assert load_description(folder).channel_names == ("T2", "ADC")
    assert sorted(path.name for path in (folder / "imagesTs").iterdir()) == [
        "a_002_0000.nii.gz",
        "a_002_0001.nii.gz",
    ]
    for number, volume in enumerate(cases_of(folder, "Tr").values()):
        np.testing.assert_array_equal(volume.array, np.stack([VOXELS + 100 * number, VOXELS / 2]))
        assert volume.geometry == GRID


def test_all_missing_files_at_once(paths, capsys):
    make_task(paths[0], ONE)
    (paths[0] / "imagesTr/a_001.nii.gz").unlink()
    (paths[0] / "labelsTr/a_004.nii.gz").unlink()
    (paths[0] / "imagesTs/a_002.nii.gz").unlink()
    assert run(paths) == 2
    lines = capsys.readouterr().err.splitlines()
    found = [line.split(": ")[2].split("Prostate/")[-1] for line in lines]
    assert found == ["imagesTr/a_001.nii.gz", "labelsTr/a_004.nii.gz", "imagesTs/a_002.nii.gz"]
    assert not any(paths[1].glob("*"))


def test_all_bad_cases_at_once(paths, capsys):
    make_task(paths[0], TWO)
    write_volumes(paths[0] / "imagesTr/a_001.nii.gz", [VOXELS])
    write_image(
        paths[0] / "labelsTr/a_004.nii.gz", LABELS[:, :3], Geometry((5, 3, 3), *list(vars(GRID).values())[1:])
    )
    (paths[0] / "imagesTs/a_002.nii.gz").write_bytes(b"")
    assert run(paths) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "imagesTr/a_001.nii.gz: " in lines[0]
    assert "labelsTr/a_004.nii.gz: has the size (5, 3, 3)" in lines[1]
    assert "imagesTs/a_002.nii.gz: is empty" in lines[2]
    assert list(paths[1].iterdir()) == []


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("modality", {}, "$.modality is {}"),
        ("modality", {"1": "CT"}, "$.modality is"),
        ("modality", None, "$.modality is None"),
        ("labels", {"a": 1}, "$.labels is"),
        ("labels", {"0": "x", "1": "x"}, "$.labels has a name twice"),
        ("training", [], "are not lists of files"),
        ("training", ["a.nii.gz"], '$.training[0]: is not {"image": …, "label": …}'),
        ("test", ["../../other.nii.gz"], "$.test[0]: leaves the task's folder"),
        ("test", ["/etc/other.nii.gz"], "$.test[0]: leaves the task's folder"),
        ("test", ["imagesTs/a b.nii.gz"], "case id 'a b' is not allowed"),
        ("test", ["imagesTs/a.png"], "$.test[0]: names no .nii.gz file"),
        ("test", ["./imagesTs/A_001.nii.gz"], "lists a_001 twice"),
    ],
)
def test_another_dataset_json(paths, key, value, reason, capsys):
    data = make_task(paths[0], ONE)
    (paths[0] / "dataset.json").write_text(json.dumps({**data, key: value}))
    assert run(paths) == 2
    assert reason in capsys.readouterr().err
    assert not any(paths[1].glob("*"))


def test_no_dataset_json(paths, capsys):
    assert run(paths) == 2
    assert "dataset.json: does not exist" in capsys.readouterr().err


def test_ctrl_c_leaves_nothing(paths, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    make_task(paths[0], ONE)
    monkeypatch.setattr(msd, "write_channels", stop)
    assert run(paths) == 75
    assert list(paths[1].iterdir()) == []


def test_nnunet_raw_is_not_written(paths, monkeypatch, capsys):
    make_task(paths[0], ONE)
    monkeypatch.delenv("dd_raw", raising=False)
    monkeypatch.setenv("nnUNet_raw", str(paths[1]))
    assert convert_published.main_msd(["-i", str(paths[0]), "-d", "5", "--no_pbar"]) == 2
    assert "dd_raw" in capsys.readouterr().err
    assert not paths[1].exists()
