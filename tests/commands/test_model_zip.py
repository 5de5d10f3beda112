"""A model goes through a zip file and comes out the same."""

import sys
import zipfile
from pathlib import Path

import pytest
import torch
from small_dataset import make_dataset
from small_model import MODEL, contents_of, make_model

from dd_nnunet.commands import model_zip, predict
from dd_nnunet.storage.atomic import read_json, write_json

MEMBERS = [
    f"{MODEL}/dataset.json",
    f"{MODEL}/dataset_fingerprint.json",
    f"{MODEL}/fold_0/level1/checkpoint_final.safetensors",
    f"{MODEL}/fold_0/level2/checkpoint_final.safetensors",
    f"{MODEL}/plans.json",
    "manifest.json",
]


@pytest.fixture(autouse=True)
def only_results_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("dd_raw", "nnUNet_raw", "dd_preprocessed"):
        monkeypatch.delenv(name, raising=False)


def export(results: Path, target: Path, *flags: str) -> int:
    return model_zip.main_export(["-d", "7", "-o", str(target), "--results", str(results), "-q", *flags])


def install(path: Path, results: Path, *flags: str) -> int:
    return model_zip.main_install([str(path), "--results", str(results), "-q", *flags])


def members(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_the_archive_holds_tensors_and_json_in_order(tmp_path: Path) -> None:
    make_model(tmp_path / "here")
    assert export(tmp_path / "here", tmp_path / "model.zip", "-f", "0") == 0
    assert members(tmp_path / "model.zip") == MEMBERS
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        archive.extract("manifest.json", tmp_path)
    manifest = read_json(tmp_path / "manifest.json")
    names = ("dataset_name", "plans_name", "configuration", "folds", "levels")
    assert [manifest[name] for name in names] == ["Dataset007_Cells", "ddPlans", "3d_fullres", ["0"], [1, 2]]
    assert [f"{MODEL}/{file['name']}" for file in manifest["files"]] == MEMBERS[:-1]


def test_the_same_model_gives_the_same_bytes_also_after_a_journey(tmp_path: Path) -> None:
    make_model(tmp_path / "here")
    flags = ("-f", "0", "1", "--with_diffusion")
    assert export(tmp_path / "here", tmp_path / "a.zip", *flags) == 0
    assert install(tmp_path / "a.zip", tmp_path / "there") == 0
    assert export(tmp_path / "there", tmp_path / "b.zip", *flags) == 0
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert contents_of(tmp_path / "there").keys() == contents_of(tmp_path / "here").keys()


def test_weights_and_order_arrive_bit_by_bit(tmp_path: Path) -> None:
    here = make_model(tmp_path / "here")
    assert export(tmp_path / "here", tmp_path / "a.zip", "--with_diffusion") == 0
    assert install(tmp_path / "a.zip", tmp_path / "there") == 0
    for name in ("fold_1/level2", "fold_0/diffusion"):
        paths = (f / name / "checkpoint_final.pth" for f in (here, tmp_path / "there" / MODEL))
        a, b = (torch.load(path, weights_only=True) for path in paths)
        assert list(a["network"]) == list(b["network"])
        assert all(torch.equal(a["network"][key], b["network"][key]) for key in a["network"])
        assert b.get("order") == a.get("order")


def test_predictions_are_the_same(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "here", labels=False)
    make_model(tmp_path / "here" / "results")
    assert export(tmp_path / "here" / "results", tmp_path / "a.zip") == 0
    assert install(tmp_path / "a.zip", tmp_path / "there") == 0
    predicted = {}
    for name, results in (("here", tmp_path / "here" / "results"), ("there", tmp_path / "there")):
        flags = ["--results", str(results), "--no_pbar", "-q"]
        images, out = str(dataset.folders.images_tr), tmp_path / f"out_{name}"
        arguments = ["-d", "7", "-i", images, "-o", str(out), "--disable_tta", "-device", "cpu"]
        assert predict.main([*arguments, *flags]) == 0
        predicted[name] = {k: v for k, v in contents_of(out).items() if not k.endswith(".json")}
    assert len(predicted["here"]) == 2 * (1 + 5)
    assert predicted["here"] == predicted["there"]


def test_scores_travel_only_if_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = make_model(tmp_path / "here")
    assert export(tmp_path / "here", tmp_path / "none.zip", "--with_crossval") == 2
    assert "dd_accumulate_crossval_results" in capsys.readouterr().err
    assert not (tmp_path / "none.zip").exists()
    scores = "crossval_results_folds_0_1/level1/summary.json"
    write_json(here / scores, {"mean": {}})
    assert export(tmp_path / "here", tmp_path / "without.zip") == 0
    assert f"{MODEL}/{scores}" not in members(tmp_path / "without.zip")
    assert export(tmp_path / "here", tmp_path / "with.zip", "--with_crossval") == 0
    assert install(tmp_path / "with.zip", tmp_path / "there") == 0
    assert read_json(tmp_path / "there" / MODEL / scores) == {"mean": {}}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["-f", "3"], "no level is finished in fold 3; run: dd_train Dataset007_Cells 3d_fullres 3"),
        (["-f", "3", "-l", "1"], "run: dd_train Dataset007_Cells 3d_fullres 3 -l 1"),
        (["-f", "0", "-l", "9"], "planned levels: 1, 2"),
        (
            ["-c", "2d"],
            "holds no trained model (no plans.json); run: dd_train 7 2d 0, or correct -d, -c, -p",
        ),
    ],
)
def test_what_is_not_there_is_not_exported(
    tmp_path: Path, flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make_model(tmp_path / "here")
    assert export(tmp_path / "here", tmp_path / "a.zip", *flags) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "a.zip").exists()


def test_a_file_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_model(tmp_path / "here")
    (tmp_path / "a.zip").write_bytes(b"precious")
    assert export(tmp_path / "here", tmp_path / "a.zip") == 2
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / "a.zip").read_bytes() == b"precious"


def test_a_hostile_archive_is_refused_before_torch_is_imported(tmp_path: Path) -> None:
    import subprocess

    (tmp_path / "a.zip").write_bytes(b"no zip")
    code = (
        "import sys; from dd_nnunet.commands.model_zip import main_install\n"
        "code = main_install(sys.argv[1:]); assert 'torch' not in sys.modules; sys.exit(code)"
    )
    arguments = [str(tmp_path / "a.zip"), "--results", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, encoding="utf-8", timeout=60
    )
    assert done.returncode == 2
    assert "is no sound zip file" in done.stderr
