"""dd_convert_hsu: the pickles of Hsu et al. become a raw dataset with three levels, or nothing does."""

import os
import pickle

import numpy as np
import pytest

from dd_nnunet.commands import convert_published
from dd_nnunet.core.splits import Fold
from dd_nnunet.storage.atomic import read_json
from dd_nnunet.storage.raw_dataset import find_cases, load_description
from dd_nnunet.storage.splits import read_splits
from dd_nnunet.storage.volume import read_label_map, read_volume

SHAPE = (4, 5, 6)
IMAGE = np.arange(120.0).reshape(SHAPE) / 100
# eight classes in stripes; level 2 folds pairs, level 1 all but the first
ALL = np.broadcast_to(np.array([0, 1, 2, 3, 4, 5, 6, 7]).repeat(15).reshape(SHAPE), SHAPE)
TRUTHS = {"bg": (ALL > 1).astype(float), "sc": ALL // 2, "all": ALL.astype(np.uint8)}


class Touch:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch '{self.mark}'",)


@pytest.fixture
def paths(tmp_path):
    for split, n_cases in (("train", 3), ("val", 1), ("test", 2)):
        for number in range(n_cases):
            add_case(tmp_path / "toy" / split, number)
    return tmp_path / "toy", tmp_path / "raw"


def add_case(folder, number, truths=TRUTHS):
    folder.mkdir(parents=True, exist_ok=True)
    dump(folder / f"im_{number}.p", IMAGE + number)
    for level, truth in truths.items():
        dump(folder / f"truth_{level}_{number}.p", truth)


def dump(path, array):
    path.write_bytes(pickle.dumps(array, protocol=3))


def run(paths, *flags):
    return convert_published.main_hsu(
        ["-i", str(paths[0]), "-d", "9", "--raw", str(paths[1]), "--no_pbar", *flags]
    )


def test_the_published_folders(paths, capsys):
    assert run(paths) == 0
    assert "dd_plan_and_preprocess -d 9 is next" in capsys.readouterr().out
    folder = paths[1] / "Dataset009_Hsu"
    description = load_description(folder)
    assert description.parts == (2, 4, 8)
    assert description.classes_of_level(1) == {"background": (0, 1), "class_1": (2, 3, 4, 5, 6, 7)}
    assert description.classes_of_level(2)["class_3"] == (6, 7)
    assert description.n_training_stated == 4
    assert read_splits(folder / "splits_final.json") == (
        Fold(("train_000", "train_001", "train_002"), ("val_000",)),
    )
    for part, ids in (
        ("Tr", ["train_000", "train_001", "train_002", "val_000"]),
        ("Ts", ["test_000", "test_001"]),
    ):
        cases = find_cases(folder / f"images{part}", description)
        assert [case.case_id for case in cases] == ids
        for case in cases:
            volume = read_volume(case.channel_files)
            np.testing.assert_allclose(volume.array[0], IMAGE + int(case.case_id[-3:]))
            assert volume.source_dtypes == ("float32",)
            assert volume.geometry.spacing_zyx_mm == (1, 1, 1)
            labels, _ = read_label_map(folder / f"labels{part}" / f"{case.case_id}.nii.gz")
            np.testing.assert_array_equal(labels, ALL)
    assert read_json(folder / "conversion.json")["cases"]["val_000"]["name"] == "val/im_0.p"


def test_levels_that_are_not_nested_are_kept(tmp_path):
    """Two voxels of level 3's class 1 lie in different classes of level 2: three labels."""
    every = np.array([0, 1, 1]).reshape(1, 1, 3)
    source = tmp_path / "toy"
    source.mkdir()
    dump(source / "im_0.p", np.arange(3.0).reshape(1, 1, 3))
    for level, truth in (("bg", [0, 1, 1]), ("sc", [0, 1, 2]), ("all", every)):
        dump(source / f"truth_{level}_0.p", np.reshape(truth, (1, 1, 3)))
    assert run((source, tmp_path / "raw")) == 0
    description = load_description(tmp_path / "raw/Dataset009_Hsu")
    assert description.labels == {"background": 0, "label_1": 1, "label_2": 2}
    assert description.classes_of_level(2) == {"background": (0,), "class_1": (1,), "class_2": (2,)}
    assert description.classes_of_level(3) == {"background": (0,), "class_1": (1, 2)}
    assert not (tmp_path / "raw/Dataset009_Hsu/splits_final.json").exists()


def test_volumes_without_truth(paths, capsys):
    add_case(paths[0] / "train", 3, truths={})
    assert run(paths) == 0
    assert "1 case has no truth, e.g. train_003" in capsys.readouterr().out
    assert not (paths[1] / "Dataset009_Hsu/labelsTr/train_003.nii.gz").exists()


def test_all_missing_files_at_once(paths, capsys):
    (paths[0] / "train/truth_sc_1.p").unlink()
    (paths[0] / "test/truth_bg_0.p").unlink()
    assert run(paths) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[2].split("/")[-1] for line in lines] == ["truth_bg_0.p", "truth_sc_1.p"]
    assert not any(paths[1].glob("*"))


def test_all_bad_files_at_once_and_none_is_run(paths, tmp_path, capsys):
    mark = tmp_path / "mark"
    dump(paths[0] / "train/im_0.p", Touch(mark))
    dump(paths[0] / "train/truth_all_1.p", np.zeros((4, 5, 7)))
    dump(paths[0] / "val/im_0.p", np.full(SHAPE, np.nan))
    dump(paths[0] / "test/truth_bg_1.p", np.arange(120).reshape(SHAPE))
    assert run(paths) == 2
    error = capsys.readouterr().err
    for reason in (
        "im_0.p: names posix.system",
        "truth_all_1.p: has the shape (4, 5, 7)",
        "im_0.p: holds numbers that are not finite",
        "truth_all_1.p: with its other levels holds 120 classes",
    ):
        assert reason in error
    assert len(error.splitlines()) == 4
    assert not mark.exists()
    assert list(paths[1].iterdir()) == []


def test_another_folder(tmp_path, capsys):
    (tmp_path / "toy").mkdir()
    assert run((tmp_path / "toy", tmp_path / "raw")) == 2
    assert "holds no im_0.p to train on" in capsys.readouterr().err
    assert run((tmp_path / "nowhere", tmp_path / "raw")) == 2
    assert "is no folder" in capsys.readouterr().err


def test_an_existing_number_is_refused(paths, capsys):
    (paths[1] / "Dataset009_Other").mkdir(parents=True)
    assert run(paths) == 2
    assert "its number is taken by Dataset009_Other" in capsys.readouterr().err
