from pathlib import Path

import gallery
import gallery_data
import gallery_page
import numpy as np
import pytest
from gallery_data import EXHIBITS, NotAtHandError, Request
from gallery_phantoms import KINDS, scattered
from gallery_rivals import REMARKS
from gallery_row import trained_row

from dd_nnunet.commands.baseline_setup import METHOD_NAMES
from dd_nnunet.core.fingerprint import DatasetFingerprint
from dd_nnunet.core.json_record import record_from_json
from dd_nnunet.planning.fingerprinting import fingerprint_case
from dd_nnunet.storage.atomic import read_json, write_json
from dd_nnunet.storage.raw_dataset import find_cases, load_description
from dd_nnunet.storage.volume import read_label_map, read_volume, write_labels
from dd_nnunet.storage.workspace import Workspace

ROOT = Path(__file__).parents[2]
PHANTOMS = ("thick-slices", "ct", "two-channels", "em")


def make(tmp_path, *names, **request):
    workspace = Workspace(*(tmp_path / part for part in ("raw", "preprocessed", "results")))
    for name in names:
        gallery_data.make(EXHIBITS[name], workspace, Request(**({"n_cases": 2, "edge": 16} | request)))
    return workspace


def classes_of(folder):
    return {
        int(label)
        for path in (folder / "labelsTr").glob("*.nii.gz")
        for label in np.unique(read_label_map(path)[0])
    }


@pytest.mark.parametrize("name", PHANTOMS)
def test_a_tiny_phantom_is_a_dataset_with_the_kinds_own_spacing_and_classes(tmp_path, name):
    workspace = make(tmp_path, name)
    folders = workspace.dataset(EXHIBITS[name].folder)
    description = load_description(folders)
    assert description.channel_names == KINDS[name].channel_names
    cases = find_cases(folders.images_tr, description)
    assert [case.case_id for case in cases] == ["case_000", "case_001"]
    volume = read_volume(cases[0].channel_files)
    assert max(volume.geometry.shape_zyx) <= 16
    assert volume.geometry.spacing_zyx_mm == pytest.approx(KINDS[name].spacing_zyx_mm)
    assert classes_of(folders.raw) <= set(description.labels.values())
    assert [len(description.classes_of_level(n)) for n in (1, 2)] == list(description.parts)


@pytest.mark.parametrize("name", PHANTOMS)
def test_a_phantom_of_full_size_holds_every_class_and_is_drawn_twice_alike(name):
    kind = KINDS[name]
    first, again = (kind.draw(np.random.default_rng([7, 0]), kind.shape_zyx) for _ in range(2))
    assert set(np.unique(first.labels)) == set(kind.classes.values())
    for channel, other in zip(first.channels, again.channels, strict=True):
        np.testing.assert_array_equal(channel, other)
    border = np.ones(first.labels.shape, dtype=bool)
    border[:, 1:-1, 1:-1] = False
    assert not first.labels[border].any()


def test_phantoms_are_what_they_are_called():
    rng = np.random.default_rng(0)
    ct = KINDS["ct"].draw(rng, (32, 64, 64))
    (image,) = ct.channels
    means = [image[ct.labels == label].mean() for label in range(5)]
    assert means == pytest.approx([-1000, 40, -800, 600, 120], abs=120)
    assert image.min() == -1024
    stains = KINDS["two-channels"].draw(rng, (48, 48, 48))
    first, second = (
        np.array([channel[stains.labels == label].mean() for label in range(4)])
        for channel in stains.channels
    )
    assert first.argmax() == 2 and second.argmax() == 3
    assert first[3] == pytest.approx(first[1], abs=2) and second[2] == pytest.approx(second[1], abs=40)
    em = KINDS["em"].draw(rng, (48, 48, 48))
    (image,) = em.channels
    ground, cell, granule = (image[em.labels == label].mean() for label in range(3))
    assert ground > cell > granule


def test_scattered_balls_stay_inside_and_apart():
    region = np.zeros((32, 32, 32), bool)
    region[4:28, 4:28, 4:28] = True
    found = scattered(np.random.default_rng(0), region, n=4, radius=0.2)
    assert len(found) == 4
    assert (np.sum(found, axis=0) <= 1).all()
    assert not (np.any(found, axis=0) & ~region).any()


def test_blocks_are_the_whole_and_alike():
    whole = np.zeros((31, 61, 57), int)
    blocks = gallery_data.cut_into_blocks(whole.shape, (1, 3, 2))
    for block in blocks:
        whole[block] += 1
    assert (whole == 1).all()
    assert sorted({whole[block].shape for block in blocks}) == [
        (31, 20, 28),
        (31, 20, 29),
        (31, 21, 28),
        (31, 21, 29),
    ]


def test_the_nuclei_are_cut_and_their_fingerprint_is_the_golden_one(tmp_path):
    workspace = make(tmp_path, "nuclei")
    folders = workspace.dataset(EXHIBITS["nuclei"].folder)
    cases = find_cases(folders.images_tr, load_description(folders))
    assert len(cases) == 6 and classes_of(folders.raw) == {0, 1}
    golden = read_json(ROOT / "tests" / "golden" / "measured_nuclei.json")["fingerprint"]
    stored = record_from_json(DatasetFingerprint, golden, "golden").cases[0]
    found = fingerprint_case(read_volume(cases[0].channel_files), cases[0].case_id)
    assert found.diameters_mm == pytest.approx(stored.diameters_mm, rel=1e-3)
    assert found.channels[0].noise_sd == pytest.approx(stored.channels[0].noise_sd, rel=1e-3)
    assert (found.shape_zyx, found.source_dtypes) == (stored.shape_zyx, stored.source_dtypes)


def test_cells_get_the_smallest_size_that_holds_them(tmp_path):
    workspace = make(tmp_path, "hard-noise")
    folders = workspace.dataset(EXHIBITS["hard-noise"].folder)
    cases = find_cases(folders.images_tr, load_description(folders))
    assert [read_volume(case.channel_files).geometry.size_xyz for case in cases] == [(24, 24, 24)] * 2


def test_half_of_a_template_is_cut_into_blocks_with_its_tissues(tmp_path):
    t1 = np.zeros((20, 22, 24), np.uint8)
    t1[1:19, 2:20, 3:21] = 100
    grey, white = (np.zeros_like(t1) for _ in range(2))
    grey[3:10], white[10:17] = 255, 200
    geometry = gallery_data.straight_geometry(t1.shape, (1, 1, 1))
    for kind, array in (("t1", t1), ("gm", grey), ("wm", white)):
        write_labels(tmp_path / gallery_data.TEMPLATE.format(kind), array, geometry)
    workspace = make(tmp_path, "mni152", template=tmp_path / gallery_data.TEMPLATE.format("t1"))
    folders = workspace.dataset(EXHIBITS["mni152"].folder)
    cases = find_cases(folders.images_tr, load_description(folders))
    shapes = [read_volume(case.channel_files).geometry.shape_zyx for case in cases]
    # 18 × 18 voxels in 3 × 3 blocks; along x from 3 to the middle at 12
    assert shapes == [(6, 6, 9)] * 9
    assert classes_of(folders.raw) == {1, 2, 3}


def test_real_data_are_linked_or_said_to_be_missing(tmp_path):
    real = tmp_path / "real" / EXHIBITS["pet"].folder
    real.mkdir(parents=True)
    workspace = make(tmp_path, "pet", real=tmp_path / "real")
    assert (workspace.raw / real.name).resolve() == real
    with pytest.raises(NotAtHandError, match="Dataset901_TinyFLAIR"):
        make(tmp_path, "flair", real=tmp_path / "real")
    with pytest.raises(NotAtHandError, match=r"t1.nii.gz is missing"):
        make(tmp_path, "mni152", template=tmp_path / "t1.nii.gz")


def test_the_page_shows_what_there_is_and_says_what_is_missing(tmp_path):
    rows, pictures = tmp_path / "rows", tmp_path / "docs" / "pictures"
    write_json(rows / "em.json", trained_row())
    untrained = trained_row() | {"run": None, "scores": {}}
    write_json(rows / "ct.json", untrained)
    pictures.mkdir(parents=True)
    (pictures / "em.png").write_bytes(b"")
    out = tmp_path / "docs" / "gallery.md"
    gallery.main(["page", "--rows", str(rows), "--pictures", str(pictures), "--page", str(out)])
    text = out.read_text(encoding="utf-8")
    sections = {part.partition("\n")[0]: part for part in text.split("\n## ")[1:]}
    assert len(sections) == len(EXHIBITS)
    em = sections["Dark objects on bright ground"]
    assert "timesteps: 84 126, because: of the noise" in em
    assert "in 10.5 minutes on a CPU, 2 threads" in em and "no level collapsed" in em
    assert "| denoise-kmeans | 1 | **0.900** |" in em
    assert "A baseline wins. At level 1 denoise-kmeans 0.900 against 0.800 (`strict`)." in em
    assert REMARKS["em"] in em
    assert "(pictures/em.png)" in em
    ct = sections["Computed tomography"]
    assert "Not trained yet" in ct and "| dd_nnunet |" not in ct
    assert "Not planned yet" in sections["Thick slices"]
    assert "| 84 126 | 10.5 | 1: denoise-kmeans |" in text


def test_older_rows_have_the_minutes_of_the_networks_alone(tmp_path):
    row = trained_row()
    del row["run"]["wall_seconds_train"]
    write_json(tmp_path / "em.json", row)
    text = gallery_page.page(tmp_path, tmp_path, tmp_path)
    assert "in 10.1 minutes (the networks alone) on a CPU, 2 threads" in text
    assert "| 84 126 | 10.1 | 1: denoise-kmeans |" in text


def test_a_gpu_is_named(tmp_path):
    row = trained_row()
    row["run"]["machine"] |= {"gpu": "NVIDIA H200", "gpu_memory_gb": 139.8}
    write_json(tmp_path / "em.json", row)
    text = gallery_page.page(tmp_path, tmp_path, tmp_path)
    assert "in 10.5 minutes on NVIDIA H200 (140 GB) and a CPU, 2 threads" in text


def test_parts_that_were_given_stand_beside_the_planners_own(tmp_path):
    row = trained_row()
    decision = {
        "name": "parts per level",
        "value": "2 5",
        "because": "given in dataset.json",
        "configuration": "",
    }
    row["plan"]["decisions"].append(decision)
    write_json(
        tmp_path / "em.json", row | {"parts_if_not_given": {"value": "2 3", "because": "measured: so"}}
    )
    told = "parts per level: 2 5, because: given in dataset.json; not given, they would be 2 3, because: measured: so"
    assert told in gallery_page.page(tmp_path, tmp_path, tmp_path)
    write_json(tmp_path / "em.json", row | {"parts_if_not_given": None})
    assert "not given" not in gallery_page.page(tmp_path, tmp_path, tmp_path)


def test_a_collapse_is_told(tmp_path):
    write_json(tmp_path / "em.json", trained_row(collapsed=True))
    assert "**collapsed** at 3d_fullres/level1" in gallery_page.page(tmp_path, tmp_path, tmp_path)


def test_the_page_in_the_documentation_is_made_of_the_rows():
    expected = gallery_page.page(gallery_page.ROWS, gallery_page.PICTURES, gallery_page.PAGE.parent)
    assert gallery_page.PAGE.read_text(encoding="utf-8") == expected


def test_pictures_are_small_and_only_of_data_that_may_be_shown():
    for path in gallery_page.PICTURES.glob("*.png"):
        assert EXHIBITS[path.stem].pictured
        assert path.stat().st_size < 100_000


def narrow(channels):
    return [4 * 2**stage for stage in range(len(channels))]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The whole way on tiny volumes, with a plan shortened by hand."""
    root = tmp_path_factory.mktemp("gallery")
    places = ["--work", str(root), "--rows", str(root / "rows"), "--pictures", str(root / "pictures")]
    gallery.main(["make", "ct", "--cases", "5", "--edge", "16", *places])
    gallery.main(["plan", "ct", *places])
    path = root / "preprocessed" / EXHIBITS["ct"].folder / "ddPlans.json"
    plan = read_json(path)
    planned = plan["configurations"]["3d_fullres"]
    planned["diffusion"] |= {
        "iterations": 2,
        "channels": narrow(planned["diffusion"]["channels"]),
    }
    planned["segmenter"] |= {"epochs": 2, "iterations_per_epoch": 1, "warm_start_epochs": 1}
    planned["segmenter"]["features_per_stage"] = narrow(planned["segmenter"]["features_per_stage"])
    planned["features"] |= {"n_draws": 1}
    write_json(path, plan)
    gallery.main(["train", "ct", *places])
    return root, places


@pytest.mark.slow
def test_a_fold_is_trained_and_scored_beside_the_baselines(trained, capfd):
    root, places = trained
    row = read_json(root / "rows" / "ct.json")
    assert set(row["scores"]) == {"dd_nnunet", *METHOD_NAMES}
    assert all(set(levels) == {"level1", "level2"} for levels in row["scores"].values())
    assert set(row["run"]["finished"]) == {"3d_fullres/diffusion", "3d_fullres/levels"}
    assert set(row["run"]["finished"]["3d_fullres/levels"]["levels"]) == {"1", "2"}
    assert row["run"]["versions"]["torch"]
    assert row["run"]["wall_seconds_train"] > sum(end["seconds"] for end in row["run"]["finished"].values())
    assert 1000 < (root / "pictures" / "ct.png").stat().st_size < 100_000
    before = (root / "logs" / "ct.jsonl").read_text()
    gallery.main(["train", "ct", *places])
    assert "ct: has its results" in capfd.readouterr().out
    assert (root / "logs" / "ct.jsonl").read_text() == before
    # a plan made anew does not throw results away
    gallery.main(["plan", "ct", *places])
    assert read_json(root / "rows" / "ct.json") == row
