"""dd_convert_brats19: the official folder becomes the paper's dataset; tried on made-up images."""

import hashlib

import numpy as np
import pytest

from dataset_conversion import brats19
from dataset_conversion.brats19 import split_cases
from dd_nnunet.commands import convert_published
from dd_nnunet.core.case import Geometry
from dd_nnunet.storage.atomic import read_json
from dd_nnunet.storage.raw_dataset import find_cases, load_description
from dd_nnunet.storage.splits import read_splits
from dd_nnunet.storage.volume import read_label_map, read_volume, write_image, write_labels

# that of BraTS: x and y run to the left and to the front
DIRECTION = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)
SMALL, SMALL_CROP = (12, 12, 5), (10, 8, 5)


@pytest.fixture
def small(monkeypatch):
    """Volumes of 12 × 12 × 5, of which the middle 10 × 8 × 5 is kept."""
    monkeypatch.setattr(brats19, "SIZE_XYZ", SMALL)
    monkeypatch.setattr(brats19, "CROP_XYZ", SMALL_CROP)


@pytest.fixture
def paths(tmp_path):
    return tmp_path / "MICCAI_BraTS_2019_Data_Training", tmp_path / "raw"


def add_patient(source, name, size=SMALL, grade="HGG", channels=("flair", "t1", "t1ce", "t2")):
    """A brain of 7, each channel 1 more, from voxel 3 to the last but one, with a tumour of 1, 2 and 4 in it."""
    geometry = Geometry(size, (1.0, 1.0, 1.0), (0.0, 239.0, 0.0), DIRECTION)
    x, y, z = size
    brain = np.zeros((z, y, x), np.int16)
    brain[:, 3:-1, 3:-1] = 7
    seg = np.zeros((z, y, x), np.uint8)
    seg[2, 5:8, 5] = (1, 2, 4)
    seg[3, 3, 3] = 2
    folder = source / grade / name
    for number, channel in enumerate(channels):
        write_image(folder / f"{name}_{channel}.nii.gz", brain + (brain > 0) * np.int16(number), geometry)
    write_labels(folder / f"{name}_seg.nii.gz", seg, geometry)


def add_patients(paths, n_cases, **kwargs):
    for number in range(n_cases):
        add_patient(paths[0], f"BraTS19_CBICA_AA{number}_1", **kwargs)


def run(paths, *flags):
    shared = ["-i", str(paths[0]), "-d", "19", "--raw", str(paths[1]), "--no_pbar"]
    return convert_published.main_brats19([*shared, *flags])


def test_the_official_names(paths, small, capsys):
    add_patients(paths, 4)
    add_patient(paths[0], "BraTS19_TCIA01_1_1", grade="LGG")
    (paths[0] / "name_mapping.csv").write_text("Grade")
    assert run(paths) == 0
    printed = capsys.readouterr().out
    assert "3 training and 1 test case" in printed
    assert "dd_plan_and_preprocess -d 19 is next" in printed
    folder = paths[1] / "Dataset019_BraTS19"
    description = load_description(folder)
    assert (description.channel_names, description.parts) == (("FLAIR",), (3,))
    assert description.classes_of_level(1) == {
        "background": (0,),
        "brain": (3,),
        "whole_tumour": (1, 2, 4),
    }
    (fold,) = read_splits(folder / "splits_final.json")
    assert (len(fold.train), len(fold.val)) == (2, 1)
    training = find_cases(folder / "imagesTr", description)
    assert sorted([*fold.train, *fold.val]) == [case.case_id for case in training]
    assert len(find_cases(folder / "imagesTs", description)) == 1
    assert len(list((folder / "labelsTs").iterdir())) == 1
    for case in training:
        volume = read_volume(case.channel_files)
        assert volume.geometry == Geometry(SMALL_CROP, (1.0,) * 3, (-1.0, 237.0, 0.0), DIRECTION)
        assert volume.source_dtypes == ("int16",)
        expected = np.zeros((5, 8, 10))
        expected[:, 1:, 2:] = 7
        np.testing.assert_array_equal(volume.array[0], expected)
        labels, _ = read_label_map(folder / "labelsTr" / f"{case.case_id}.nii.gz")
        true = np.where(expected > 0, 3, 0)
        true[2, 3:6, 4] = (1, 2, 4)
        true[3, 1, 2] = 2
        np.testing.assert_array_equal(labels, true)


def test_channels_and_low_grade(paths, small):
    add_patients(paths, 3)
    add_patient(paths[0], "BraTS19_TCIA01_1_1", grade="LGG")
    assert run(paths, "--channels", "t2", "flair", "--low_grade", "--name", "All") == 0
    folder = paths[1] / "Dataset019_All"
    description = load_description(folder)
    assert description.channel_names == ("T2", "FLAIR")
    volume = read_volume(find_cases(folder / "imagesTr", description)[0].channel_files)
    assert volume.array[:, 2, 4, 4].tolist() == [10.0, 7.0]
    ids = {p.name for part in ("Tr", "Ts") for p in (folder / f"labels{part}").iterdir()}
    assert "BraTS19_TCIA01_1_1.nii.gz" in ids
    assert len(ids) == 4


def test_a_channel_given_twice_is_refused(paths, small, capsys):
    add_patients(paths, 3)
    assert run(paths, "--channels", "flair", "t1", "flair") == 2
    assert "--channels: flair t1 flair names one twice" in capsys.readouterr().err
    assert not list(paths[1].glob("Dataset*"))


def test_all_missing_files_at_once(paths, small, capsys):
    add_patients(paths, 4)
    for name in ("AA0_1_flair", "AA1_1_seg", "AA2_1_t2"):
        (
            paths[0]
            / f"HGG/BraTS19_CBICA_{name[: -len(name.split('_')[-1]) - 1]}"
            / f"BraTS19_CBICA_{name}.nii.gz"
        ).unlink()
    assert run(paths, "--channels", "flair", "t2") == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[2].split("/")[-1][14:-7] for line in lines] == [
        "AA0_1_flair",
        "AA1_1_seg",
        "AA2_1_t2",
    ]
    assert not any(paths[1].glob("*"))


def test_all_bad_cases_at_once(paths, small, capsys):
    add_patients(paths, 3)
    add_patient(paths[0], "BraTS19_X_size_1", size=(12, 12, 6))
    add_patient(paths[0], "BraTS19_Y_label_1")
    seg = paths[0] / "HGG/BraTS19_Y_label_1/BraTS19_Y_label_1_seg.nii.gz"
    labels, geometry = read_label_map(seg)
    labels[0, 0, 0] = 3
    write_labels(seg, labels, geometry)
    flair = paths[0] / "HGG/BraTS19_CBICA_AA1_1/BraTS19_CBICA_AA1_1_flair.nii.gz"
    flair.write_bytes(flair.read_bytes()[:-20])
    assert run(paths) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "AA1_1_flair.nii.gz: " in lines[0]
    assert "X_size_1_flair.nii.gz: has the size (12, 12, 6), (12, 12, 5) is expected" in lines[1]
    assert "Y_label_1_seg.nii.gz: holds the labels [3]" in lines[2]
    assert list(paths[1].iterdir()) == []


def test_a_tumour_outside_the_crop_is_told(paths, small):
    add_patients(paths, 3)
    seg = paths[0] / "HGG/BraTS19_CBICA_AA0_1/BraTS19_CBICA_AA0_1_seg.nii.gz"
    labels, geometry = read_label_map(seg)
    labels[0, 0, :3] = 1
    write_labels(seg, labels, geometry)
    assert run(paths) == 0
    (warning,) = read_json(paths[1] / "Dataset019_BraTS19/conversion.json")["cases"]["BraTS19_CBICA_AA0_1"][
        "warnings"
    ]
    assert "3 voxels of the tumour outside the crop" in warning


def test_another_folder(paths, small, capsys):
    paths[0].mkdir()
    assert run(paths, "--low_grade") == 2
    assert [line.split(": ")[3] for line in capsys.readouterr().err.splitlines()] == [
        "is no folder; expected the official names, HGG/BraTS19_…/BraTS19_…_flair.nii.gz"
    ] * 2
    add_patients(paths, 2)
    assert run(paths) == 2
    assert "holds 2 cases, at least 3 are needed" in capsys.readouterr().err


def test_the_split_of_259_cases():
    ids = [f"case{i:03d}" for i in range(259)]
    fold, test = split_cases(ids[::-1])
    assert (len(fold.train), len(fold.val), len(test)) == (180, 39, 40)
    assert sorted([*fold.train, *fold.val, *test]) == ids
    text = " ".join([*fold.train, "/", *fold.val, "/", *sorted(test)])
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "f1842526c22d79ec"


@pytest.mark.slow
def test_the_size_of_brats(paths):
    add_patients(paths, 3, size=(240, 240, 155), channels=("flair",))
    assert run(paths) == 0
    folder = paths[1] / "Dataset019_BraTS19"
    (case, *_) = find_cases(folder / "imagesTr", load_description(folder))
    assert read_volume(case.channel_files).geometry.size_xyz == (200, 200, 155)
