import numpy as np
import pytest
from fake_run import make_dataset, make_whole, train_level
from small_volumes import write_label_map

from dd_nnunet.core.case import Geometry
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.part_colours import hex_colour, part_colour
from dd_nnunet.core.plan import LevelPlan
from dd_nnunet.report.collect import LevelResult, ReportRequest, collect
from dd_nnunet.report.gallery import merge_labels, picture_cases, true_class_colours
from dd_nnunet.storage.volume import write_image, write_labels

CLASSES = {"background": (0,), "cell": (1, 4), "vesicle": (2,)}


def request(run, **changes):
    return ReportRequest(run.folders, "ddPlans", "3d_fullres", "0", **changes)


def test_labels_are_merged_to_class_numbers():
    truth = np.array([[[0, 1, 2, 3, 4]]])
    assert merge_labels(truth, CLASSES).tolist() == [[[1, 2, 3, 0, 2]]]


def test_a_true_class_has_the_colour_of_its_part():
    plan = LevelPlan(1, 4, (1,))
    matched = LevelResult(plan, None, {}, None, {"background": 0, "cell": 3, "vesicle": None})
    assert true_class_colours(matched, CLASSES) == {"cell": part_colour(3), "vesicle": (255, 255, 255)}
    unmatched = LevelResult(plan, None, {}, None, None)
    assert true_class_colours(unmatched, CLASSES) == {"cell": part_colour(1), "vesicle": part_colour(2)}


def test_every_case_shows_image_parts_and_truth_per_level_in_three_planes(tmp_path):
    cases = list(picture_cases(collect(request(make_whole(tmp_path)))))
    assert [case.case_id for case in cases] == ["cell_c", "cell_d"]
    strips = cases[0].strips
    assert [strip.title for strip in strips] == [
        "Image",
        "Level 1 · parts",
        "Level 1 · truth",
        "Level 2 · parts",
        "Level 2 · truth",
    ]
    assert [picture.plane for picture in strips[0].pictures] == ["axial", "coronal", "sagittal"]
    # 16 × 16 × 16 voxels of 1.5 × 1 × 1 mm: the 24 mm of z are the longest side
    assert [(p.width, p.height) for p in strips[0].pictures] == [(256, 256), (256, 384), (256, 384)]
    assert [(item.name, item.colour) for item in strips[4].legend] == [
        ("cell", hex_colour(1)),
        ("vesicle", hex_colour(2)),
        ("granule", hex_colour(3)),
    ]
    assert cases[0].size == "16 × 16 × 16 voxels of 1.5 × 1 × 1 mm (k × j × i)"
    # the only granule lies around (0.42, 0.6 + 0.04, 0.65) of the volume
    assert cases[0].places[0].startswith("axial: k = ") and cases[0].places[0].endswith(" of 0–15")


def test_unlabelled_and_untrained_show_what_there_is(tmp_path):
    run = make_dataset(tmp_path, labels=False)
    (case,) = picture_cases(collect(request(run, n_cases=1)))
    assert [strip.title for strip in case.strips] == ["Image"]
    assert case.places == ("axial: k = 7 of 0–15", "coronal: j = 7 of 0–15", "sagittal: i = 7 of 0–15")
    train_level(run, 1)
    case, _ = picture_cases(collect(request(run)))
    assert [strip.title for strip in case.strips] == ["Image", "Level 1 · parts"]


def test_a_cut_is_told_as_the_file_of_turned_axes_counts(tmp_path):
    run = make_dataset(tmp_path, labels=False)
    # the file's i runs to the front, j to the head, k to the right of the patient
    grid = Geometry((5, 6, 7), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0, 0, -1.0, -1.0, 0, 0, 0, 1.0, 0))
    parts = np.zeros((7, 6, 5), dtype=np.uint8)
    parts[1, 4, 2] = 1  # [k, j, i]
    write_image(run.folders.images_tr / "cell_c_0000.nii.gz", parts.astype(np.float32), grid)
    write_labels(run.model / "fold_0" / "level1" / "validation" / "cell_c.nii.gz", parts, grid)
    (case,) = picture_cases(collect(request(run)))
    assert case.places == ("axial: j = 4 of 0–5", "coronal: i = 2 of 0–4", "sagittal: k = 1 of 0–6")
    assert case.size == "7 × 6 × 5 voxels of 1 × 1 × 1 mm (k × j × i)"


def test_predictions_of_other_images_are_refused(tmp_path):
    run = make_dataset(tmp_path)
    train_level(run, 1)
    wrong = run.model / "fold_0" / "level1" / "validation" / "cell_c.nii.gz"
    write_label_map(wrong, np.zeros((8, 8, 8), dtype=np.uint8), (1.5, 1.0, 1.0))
    with pytest.raises(UserError, match=r"cell_c.*has \(8, 8, 8\) voxels, its image \(16, 16, 16\)"):
        list(picture_cases(collect(request(run))))
