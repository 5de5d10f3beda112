"""F27: stray files in a prepared folder are ignored; the manifest decides which cases there are."""

import argparse

import pytest
from planned import make_faulty
from small_volumes import cell, cells

from dd_nnunet.commands import cli
from dd_nnunet.commands.train_setup import load_fold
from dd_nnunet.core.errors import UserError
from dd_nnunet.storage.atomic import write_json
from dd_nnunet.storage.case_store import Manifest, write_array

STRAYS = ("notes.txt", "._cell_0.b2nd", "cell_9.npz", "cell_0.b2nd.bak", "Thumbs.db")


@pytest.fixture
def dataset(tmp_path):
    made = make_faulty(tmp_path, cells(3))
    assert made.run() == 0
    return made


def prepared(dataset):
    return dataset.preprocessed / "ddPlans_3d_fullres"


def add_strays(dataset):
    for name in STRAYS:
        (prepared(dataset) / name).write_bytes(b"stray")
    # sound, and still of no case
    write_array(prepared(dataset) / "stranger.b2nd", cell(9)[None])
    (prepared(dataset) / "stranger.json").write_bytes((prepared(dataset) / "cell_0.json").read_bytes())
    (prepared(dataset) / "folder.b2nd").mkdir()


def fold(dataset, name):
    args = argparse.Namespace(plans_name="ddPlans", configuration="3d_fullres", dataset="5", fold=name)
    return load_fold(args, dataset.folders, cli.read_plan(dataset.folders, "ddPlans", "5"))


def test_they_train_no_fold(dataset):
    add_strays(dataset)
    assert sorted(fold(dataset, "all").train) == ["cell_0", "cell_1", "cell_2"]
    assert sorted((*fold(dataset, "0").train, *fold(dataset, "0").val)) == ["cell_0", "cell_1", "cell_2"]


def test_a_fold_may_not_name_them(dataset):
    add_strays(dataset)
    write_json(
        dataset.preprocessed / "splits_final.json", [{"train": ["cell_0", "stranger"], "val": ["cell_1"]}]
    )
    with pytest.raises(UserError, match="names cases that are not prepared: stranger"):
        fold(dataset, "0")


def test_preparing_again_neither_counts_nor_touches_them(dataset, capsys):
    add_strays(dataset)
    capsys.readouterr()
    assert dataset.run() == 0
    assert "preprocess: 0 cases prepared, 3 were prepared already" in capsys.readouterr().out
    assert list(Manifest.load(prepared(dataset)).cases) == ["cell_0", "cell_1", "cell_2"]
    assert all((prepared(dataset) / name).read_bytes() == b"stray" for name in STRAYS)
