import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "report"))

from fake_run import make_dataset, make_whole, train_diffusion

from dd_nnunet.commands.report import main


def test_the_page_lies_beside_the_model(tmp_path, capsys):
    run = make_whole(tmp_path, dies=True)
    assert main(["-d", "7", *run.flags]) == 0
    page = run.model / "report_fold_0.html"
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    output = capsys.readouterr().out
    assert f"report written to {page}" in output
    assert "warning: Level 2 has collapsed" in output


def test_flags_choose_output_and_number_of_cases(tmp_path):
    run = make_dataset(tmp_path)
    train_diffusion(run)
    output = tmp_path / "new folder" / "my page.html"
    assert main(["-d", "Dataset007_Cells", "-o", str(output), "--cases", "0", "-q", *run.flags]) == 0
    assert "There is nothing to picture yet." in output.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-d", "8"], "known datasets: Dataset007_Cells"),
        (["-d", "7", "-p", "other"], "-d Dataset007_Cells -overwrite_plans_name other first"),
        (["-d", "7", "-c", "2d"], "planned: 3d_fullres"),
        (
            ["-d", "7", "--predictions", "nowhere"],
            "nowhere: does not exist; a folder of predicted label maps",
        ),
        (["-d", "7", "--images", "nowhere"], "nowhere: does not exist; a folder of raw images"),
        (
            ["-d", "7", "--truth", __file__],
            "is a file, a folder of true label maps is wanted",
        ),
        (["-d", "7", "--cases", "-1"], "--cases: is -1; give 0 or more"),
    ],
)
def test_user_errors_are_one_line_and_exit_code_2(tmp_path, capsys, flags, message):
    run = make_dataset(tmp_path)
    train_diffusion(run)
    assert main([*flags, *run.flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith("dd_report: error: ") and error.count("\n") == 1
    assert message in error
    assert not list(tmp_path.rglob("*.html"))


@pytest.mark.parametrize("flags", [["-f", "9"], ["-f", "1", "-c", "3d_fullres"], ["-f", "0.bak_1"]])
def test_a_fold_that_is_not_trained_is_refused_by_those_that_are(tmp_path, capsys, flags):
    run = make_dataset(tmp_path)
    train_diffusion(run)
    for name in ("fold_all", "fold_0.bak_1"):
        (run.model / name / "diffusion").mkdir(parents=True)
    assert main(["-d", "7", *flags, *run.flags]) == 2
    error = (
        f"fold {flags[1]} of 3d_fullres: is not trained; choose one of the trained folds with -f: 0, all\n"
    )
    assert capsys.readouterr().err == f"dd_report: error: {error}"
    assert not list(tmp_path.rglob("*.html"))


def test_a_plan_that_was_never_trained_is_refused_and_no_folder_is_made(tmp_path, capsys):
    run = make_dataset(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert main(["-d", "7", *run.flags]) == 2
    assert "fold 0 of 3d_fullres: is not trained; run: dd_train 7 3d_fullres 0\n" in capsys.readouterr().err
    plan = run.folders.plans_json("ddPlans")
    plan.rename(run.folders.plans_json("mine"))
    assert main(["-d", "7", "-p", "mine", "-f", "1", "-o", str(tmp_path / "new" / "a.html"), *run.flags]) == 2
    assert "run: dd_train 7 3d_fullres 1 -p mine\n" in capsys.readouterr().err
    run.folders.plans_json("mine").rename(plan)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_commands_that_the_page_advises_name_the_plan(tmp_path):
    run = make_whole(tmp_path, dies=True)
    run.folders.plans_json("ddPlans").rename(run.folders.plans_json("mine"))
    mine = run.folders.model("mine", "3d_fullres")
    run.model.rename(mine)
    shutil.rmtree(mine / "fold_0" / "level1")
    assert main(["-d", "7", "-p", "mine", "-c", "3d_fullres", "-q", *run.flags]) == 0
    page = (mine / "report_fold_0.html").read_text(encoding="utf-8")
    assert "run dd_train Dataset007_Cells 3d_fullres 0 -p mine<" in page
    assert "run dd_baseline -d Dataset007_Cells -c 3d_fullres -p mine -f 0 --method denoise-kmeans<" in page
    assert (
        "(dd_plan_and_preprocess -d Dataset007_Cells --preset fast -overwrite_plans_name mine --parts …)"
        in page
    )


def test_a_damaged_prediction_leaves_the_old_page(tmp_path, capsys):
    run = make_whole(tmp_path)
    page = tmp_path / "report.html"
    page.write_text("old")
    damaged = run.model / "fold_0" / "level2" / "validation" / "cell_c.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:-30])
    assert main(["-d", "7", "-o", str(page), *run.flags]) == 2
    assert "cell_c.nii.gz" in capsys.readouterr().err
    assert page.read_text() == "old"


def test_help_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from dd_nnunet.commands.report import main\n"
        "try: main(['-h'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'SimpleITK', 'scipy', 'matplotlib', 'jinja2'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8")
    assert result.returncode == 0, result.stderr
    assert "--predictions" in result.stdout
