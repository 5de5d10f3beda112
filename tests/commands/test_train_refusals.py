"""dd_train on what does not exist: one line that names what there is, and nothing is trained."""

import shutil
from pathlib import Path

import pytest
from balls import Way, shorten, way_below, write_balls

from dd_nnunet.commands import plan_and_preprocess, train


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Way:
    """Planned and prepared."""
    way = way_below(tmp_path_factory.mktemp("prepared"))
    write_balls(way.raw)
    assert plan_and_preprocess.main(["-d", "42", "--preset", "fast", "-np", "0", *way.flags]) == 0
    shorten(way)
    return way


def test_segmenters_alone_need_a_diffusion_model(
    way: Way, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = way.with_results(tmp_path)
    assert train.main(["42", "3d_fullres", "0", "--stage", "segmenter", *other.flags]) == 2
    assert "--stage diffusion" in capsys.readouterr().err
    assert not list(tmp_path.rglob("checkpoint_*"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["42", "3d_fullres", "7"], "choose one of: 0, 1, 2, 3, 4, all"),
        (["42", "3d_fullres", "00"], "choose one of: 0, 1, 2, 3, 4, all"),
        (["42", "3d_fullres", "0", "--fresh", "--val"], "exclude each other"),
        (["42", "2d", "0"], "planned: 3d_fullres"),
        (["43", "3d_fullres", "0"], "known datasets: Dataset042_Balls"),
        (["42", "3d_fullres", "0", "-l", "9"], "planned levels: 1, 2"),
        (["42", "3d_fullres", "0", "--sed", "1"], "did you mean --seed?"),
    ],
)
def test_what_does_not_exist_is_named(
    way: Way, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = train.main([*arguments, *way.flags])
    except SystemExit as stop:
        code = int(str(stop.code))
    error = capsys.readouterr().err
    assert code == 2
    assert said in error
    assert error.count("\n") == 1
    assert not list(way.root.rglob("checkpoint_*"))


def test_the_next_command_names_plan_and_configuration(
    way: Way, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared = next(way.root.rglob("ddPlans.json")).parent
    folder = tmp_path / prepared.name
    shutil.copytree(prepared, folder)
    plan = (folder / "ddPlans.json").read_text()
    (folder / "other.json").write_text(plan.replace('"ddPlans"', '"other"'))
    arguments = ["42", "3d_fullres", "0", "-p", "other", *way.flags, "--preprocessed", str(tmp_path)]
    assert train.main(arguments) == 2
    expected = "holds no prepared cases; run: dd_preprocess -d 42 -c 3d_fullres -plans_name other\n"
    assert capsys.readouterr().err.endswith(expected)
    (folder / "ddPlans_3d_fullres").rename(folder / "other_3d_fullres")
    (folder / "splits_final.json").unlink()
    assert train.main(arguments) == 2
    expected = "run: dd_plan_and_preprocess -d 42 --preset fast -overwrite_plans_name other\n"
    assert capsys.readouterr().err.endswith(f"splits_final.json: does not exist; {expected}")
