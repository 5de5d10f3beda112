import numpy as np
import paper_student
from paper_student import teach

from dd_nnunet.storage.case_store import read_array, write_array


def test_a_student_gets_its_teachers_parts_instead_of_the_rules(tmp_path, monkeypatch, capsys):
    teacher, student = tmp_path / "teacher", tmp_path / "student"
    rules, said = np.zeros((1, 2, 2, 2), np.uint8), np.zeros((1, 2, 2, 2), np.uint8)
    said[0, 0, 0] = 1
    features = teacher / "fold_0" / "features"
    write_array(features / "a_objects.b2nd", rules)
    write_array(features / "a_stage1.b2nd", np.ones((1, 1, 1, 1), np.float16))
    (teacher / "fold_0" / "diffusion").mkdir()
    (teacher / "fold_0" / "diffusion" / "checkpoint_final.pth").write_bytes(b"weights")
    monkeypatch.setattr(paper_student.ModelFolder, "open", lambda path: path)
    monkeypatch.setattr(paper_student, "parts_of", lambda model, fold, prepared, case_id: said)
    teach(teacher, student, tmp_path / "prepared", "0", ["a"])
    # 2 of 8 voxels
    assert "level by level: 25.00 % of the voxels" in capsys.readouterr().out
    assert np.array_equal(read_array(student / "fold_0" / "features" / "a_objects.b2nd"), said)
    assert read_array(student / "fold_0" / "features" / "a_stage1.b2nd").sum() == 1
    assert (student / "fold_0" / "diffusion" / "checkpoint_final.pth").read_bytes() == b"weights"
    # the teacher keeps what it learnt from
    assert np.array_equal(read_array(features / "a_objects.b2nd"), rules)
    teach(teacher, student, tmp_path / "prepared", "0", ["a"])
    assert capsys.readouterr().out == ""


def test_what_was_laid_ready_half_is_laid_anew(tmp_path, monkeypatch):
    teacher, student = tmp_path / "teacher", tmp_path / "student"
    (teacher / "fold_0" / "diffusion").mkdir(parents=True)
    parts = np.ones((1, 2, 2, 2), np.uint8)
    write_array(teacher / "fold_0" / "features" / "a_objects.b2nd", parts)
    (student / "fold_0" / "features.draft").mkdir(parents=True)
    (student / "fold_0" / "features.draft" / "old.b2nd").write_bytes(b"")
    monkeypatch.setattr(paper_student.ModelFolder, "open", lambda path: path)
    monkeypatch.setattr(paper_student, "parts_of", lambda model, fold, prepared, case_id: parts)
    teach(teacher, student, tmp_path / "prepared", "0", ["a"])
    assert [path.name for path in (student / "fold_0").glob("features*/*")] == ["a_objects.b2nd"]
