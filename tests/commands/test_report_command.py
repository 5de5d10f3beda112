import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "report"))

from fake_run import make_dataset, make_whole

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
    output = tmp_path / "new folder" / "my page.html"
    assert main(["-d", "Dataset007_Cells", "-o", str(output), "--cases", "0", "-q", *run.flags]) == 0
    assert "There is nothing to picture yet." in output.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-d", "8"], "known datasets: Dataset007_Cells"),
        (["-d", "7", "-p", "other"], "run dd_plan_and_preprocess -d Dataset007_Cells first"),
        (["-d", "7", "-c", "2d"], "planned: 3d_fullres"),
        (["-d", "7", "--predictions", "nowhere"], "given by --predictions does not exist"),
        (["-d", "7", "--cases", "-1"], "--cases: is -1; give 0 or more"),
    ],
)
def test_user_errors_are_one_line_and_exit_code_2(tmp_path, capsys, flags, message):
    run = make_dataset(tmp_path)
    assert main([*flags, *run.flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith("dd_report: error: ") and error.count("\n") == 1
    assert message in error
    assert not list(tmp_path.rglob("*.html"))


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
