"""`-pl paper` with all departures of the released code, by the real commands: plan, train one level, predict."""

from faults.planned import make_faulty
from small_volumes import cells

from dd_nnunet.commands import plan_and_preprocess, predict, train
from dd_nnunet.storage.atomic import write_json
from dd_nnunet.storage.volume import read_label_map

RELEASED = ("resize64", "sampling_grids", "no_squares", "small_segmenter")
FLAGS = ("-pl", "paper", "-np", "0", "-gpu_memory_target", "80", "--parts", "3", "--stages", "2")


def plan(dataset, *more):
    return dataset.run_step(plan_and_preprocess.main, "-q", *FLAGS, *more)


def cut(dataset):
    """Two iterations each of narrow networks, and volumes resized to 16³ instead of 64³."""
    plans = dataset.json("ddPlans.json")
    planned = plans["configurations"]["3d_fullres"]
    planned["diffusion"] |= {
        "iterations": 2,
        "channels": [4, 8, 16, 32],
        "batch_size": 2,
        "grid_zyx": [16, 16, 16],
    }
    planned["segmenter"] |= {"epochs": 2, "iterations_per_epoch": 1}
    write_json(dataset.preprocessed / "ddPlans.json", plans)


def test_all_departures_train_one_level_and_predict(tmp_path):
    dataset = make_faulty(tmp_path, cells(3, shape=(16, 18, 17)))
    assert plan(dataset, "--as_released", *RELEASED) == 0
    planned = dataset.json("ddPlans.json")["configurations"]["3d_fullres"]
    assert planned["patch_size_zyx"] == [16, 18, 17]
    assert planned["diffusion"]["grid_zyx"] == [64, 64, 64]
    assert planned["levels"] == [{"level": 1, "n_parts": 3, "stages": [2], "children": []}]
    cut(dataset)
    run = [*dataset.flags, "-device", "cpu", "--no_pbar", "-q"]
    assert train.main(["5", "3d_fullres", "0", *run]) == 0
    out = tmp_path / "out"
    assert (
        predict.main(["-d", "5", "-f", "0", "-i", str(dataset.raw / "imagesTr"), "-o", str(out), *run]) == 0
    )
    for case_id in cells(3):
        labels, _ = read_label_map(out / "level1" / f"{case_id}.nii.gz")
        assert labels.shape == (16, 18, 17)
        assert labels.max() < 3


def test_departures_belong_to_the_paper_planner(tmp_path, capsys):
    dataset = make_faulty(tmp_path, cells(1))
    assert dataset.run("--as_released", "resize64") == 2
    assert "--as_released: is no part of preset fast; give -pl paper with it" in capsys.readouterr().err
    assert dataset.written == []
