import pytest
from fake_run import make_dataset, make_whole, train_diffusion, train_level

from dd_nnunet.core.errors import UserError
from dd_nnunet.report.collect import ReportRequest, collect
from dd_nnunet.report.findings import warnings_of
from dd_nnunet.report.page import build_page
from dd_nnunet.storage.atomic import write_json
from dd_nnunet.storage.workspace import DatasetFolders


def request(run, **changes):
    return ReportRequest(
        **{
            "folders": run.folders,
            "plans_name": "ddPlans",
            "configuration": "3d_fullres",
            "fold": "0",
            **changes,
        }
    )


def test_all_pieces_of_a_whole_run_are_found(tmp_path):
    pieces = collect(request(make_whole(tmp_path)))
    assert pieces.levels[1].part_order == [0, 1, 2, 3]
    assert pieces.cases.val == ("cell_c", "cell_d")
    assert pieces.shown_cases == ("cell_c", "cell_d")
    assert sorted(pieces.truth) == ["cell_a", "cell_b", "cell_c", "cell_d"]
    assert len(pieces.diffusion.log) == 30 and pieces.diffusion.finished == {"epochs": 30}
    assert [level.plan.level for level in pieces.levels] == [1, 2]
    assert pieces.levels[1].label_map == {"background": 0, "cell": 1, "vesicle": 2, "granule": 3}
    assert [baseline.method for baseline in pieces.baselines] == ["denoise-kmeans", "kmeans"]
    assert sorted(pieces.baselines[0].summaries) == [1, 2]


def test_missing_pieces_are_none_and_untrained_held_out_cases_are_shown(tmp_path):
    run = make_dataset(tmp_path, labels=False)
    pieces = collect(request(run, n_cases=1))
    assert pieces.diffusion is None and pieces.predicted.cases == {}
    assert all(level.run is None and level.summary is None for level in pieces.levels)
    assert pieces.truth == {} and pieces.baselines == ()
    assert pieces.shown_cases == ("cell_c",)
    train_diffusion(run)
    assert collect(request(run)).diffusion.log[-1]["iteration"] == 1500


def test_a_torn_last_log_line_is_left_out(tmp_path):
    run = make_dataset(tmp_path)
    train_diffusion(run)
    log = run.model / "fold_0" / "diffusion" / "log.jsonl"
    log.write_bytes(log.read_bytes()[:-20])
    assert len(collect(request(run)).diffusion.log) == 29


def test_given_folders_take_the_place_of_the_held_out_cases(tmp_path):
    run = make_dataset(tmp_path)
    train_level(run, 1)
    mine = tmp_path / "mine"
    source = run.model / "fold_0" / "level1" / "validation" / "cell_d.nii.gz"
    (mine / "level1").mkdir(parents=True)
    (mine / "level1" / "cell_d.nii.gz").write_bytes(source.read_bytes())
    write_json(mine / "predictions.json", {"cases": {"cell_d": {"state": "done", "warnings": ["odd"]}}})
    write_json(mine / "predictions_1_of_2.json", {"cases": {"x": {"state": "failed", "reason": "CRC"}}})
    pieces = collect(request(run, predictions=mine, images=run.folders.images_tr))
    assert list(pieces.levels[0].predictions) == ["cell_d"]
    assert pieces.shown_cases == ("cell_d",)
    assert pieces.truth == {}  # labelsTr says nothing about a folder of unknown cases
    assert warnings_of(pieces, (), {}) == ("Case cell_d: odd", "Case x could not be predicted: CRC")
    assert sorted(collect(request(run, predictions=mine, truth=run.folders.labels_tr)).truth)[0] == "cell_a"


def test_results_alone_are_enough(tmp_path):
    run = make_whole(tmp_path)
    for name in ("ddPlans.json", "dataset_fingerprint.json"):
        kept = {"ddPlans.json": "plans.json"}.get(name, name)
        (run.folders.preprocessed / name).rename(run.model / kept)
    (run.model / "dataset.json").write_bytes((run.folders.raw / "dataset.json").read_bytes())
    alone = DatasetFolders(run.folders.name, None, tmp_path / "nowhere", run.folders.results)
    pieces = collect(request(run, folders=alone))
    assert pieces.plan.dataset_name == "Dataset007_Cells"
    assert pieces.images == {} and pieces.shown_cases == ()
    assert pieces.levels[0].summary["n_cases"] == 2


def test_a_missing_plan_or_configuration_is_refused_with_the_next_command(tmp_path):
    run = make_dataset(tmp_path)
    with pytest.raises(UserError, match="run dd_plan_and_preprocess -d Dataset007_Cells"):
        collect(request(run, plans_name="other"))
    with pytest.raises(UserError, match="planned: 3d_fullres"):
        collect(request(run, configuration="3d_lowres"))


def test_a_diffusion_model_taken_from_elsewhere_has_no_log(tmp_path):
    run = make_dataset(tmp_path)
    write_json(run.model / "fold_0" / "diffusion" / "finished.json", {"pretrained": "other.pth"})
    pieces = collect(request(run))
    assert pieces.diffusion.log == () and pieces.diffusion.finished == {"pretrained": "other.pth"}
    assert build_page(pieces).diffusion_curves is None


def test_hidden_files_are_no_predictions(tmp_path):
    run = make_dataset(tmp_path)
    train_level(run, 1)
    validation = run.model / "fold_0" / "level1" / "validation"
    (validation / "._cell_c.nii.gz").write_bytes(b"junk")
    assert list(collect(request(run)).levels[0].predictions) == ["cell_c", "cell_d"]
