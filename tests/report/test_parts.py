import numpy as np
from fake_run import make_whole
from small_volumes import write_label_map

from dd_nnunet.report.collect import ReportRequest, collect
from dd_nnunet.report.parts import measure_parts, nesting_violation


def write_case(folder, name, labels, spacing_xyz_mm):
    path = folder / f"{name}.nii.gz"
    array = np.array(labels, dtype=np.uint8)
    return write_label_map(path, array, spacing_xyz_mm[::-1])


def test_sizes_are_counted_per_case_with_its_own_voxel_size(tmp_path):
    first = write_case(tmp_path, "a", [[[0, 1], [1, 1]], [[0, 0], [0, 0]]], (1.0, 1.0, 2.0))
    second = write_case(tmp_path, "b", [[[0, 2], [2, 0]], [[0, 0], [0, 1]]], (1.0, 1.0, 1.0))
    sizes = measure_parts({"a": first, "b": second}, n_parts=4)
    assert sizes.voxels.tolist() == [[5, 3, 0, 0], [5, 1, 2, 0]]
    assert sizes.volumes_mm3.tolist() == [[10, 6, 0, 0], [5, 1, 2, 0]]
    assert sizes.unit == "mm³"
    assert sizes.shares.tolist() == [0.625, 0.25, 0.125, 0.0]
    assert sizes.n_present.tolist() == [2, 2, 1, 0]


def test_a_part_of_a_millilitre_makes_the_unit_ml(tmp_path):
    path = write_case(tmp_path, "a", [[[0, 1], [1, 1]]], (10.0, 10.0, 10.0))
    sizes = measure_parts({"a": path}, n_parts=2)
    assert sizes.unit == "ml"
    assert sizes.volumes.tolist() == [[1.0, 3.0]]


def test_more_parts_than_planned_are_counted_too(tmp_path):
    path = write_case(tmp_path, "a", [[[0, 3]]], (1.0, 1.0, 1.0))
    assert measure_parts({"a": path}, n_parts=2).voxels.tolist() == [[1, 0, 0, 1]]


def test_no_prediction_no_sizes():
    assert measure_parts({}, n_parts=2) is None


def test_nesting_is_measured_without_labels_and_agrees_with_the_summary(tmp_path):
    run = make_whole(tmp_path)
    pieces = collect(ReportRequest(run.folders, "ddPlans", "3d_fullres", "0"))
    fine = pieces.levels[1]
    known = nesting_violation(pieces, fine)
    assert known == fine.summary["nesting"]["violation_rate"] > 0
    for level in pieces.levels:
        (level.predictions["cell_c"].parent / "summary.json").unlink()
    pieces = collect(ReportRequest(run.folders, "ddPlans", "3d_fullres", "0"))
    assert pieces.levels[1].summary is None
    assert nesting_violation(pieces, pieces.levels[1]) == known
    assert nesting_violation(pieces, pieces.levels[0]) is None
