"""dd_convert_synthcell writes a raw dataset that the rest of the house reads."""

import numpy as np
import pytest

from dataset_conversion import synthcell_dataset
from dataset_conversion.synthcell import MINI_SIZE, VARIANTS, make_volume
from dd_nnunet.commands import convert
from dd_nnunet.storage.atomic import read_json
from dd_nnunet.storage.raw_dataset import find_cases, load_description
from dd_nnunet.storage.volume import read_label_map, read_volume


def run(raw, *flags):
    return convert.main_synthcell(["-d", "7", "--raw", str(raw), "--no_pbar", "-q", *flags])


def test_a_mini_dataset(tmp_path):
    assert run(tmp_path, "--variant", "irregular", "--mini", "--cases", "2", "1", "2", "--seed", "5") == 0
    folder = tmp_path / "Dataset007_SynthcellIrregularMini"
    description = load_description(folder)
    assert description.parts == (2, 4, 8)
    assert description.n_training_stated == 3
    assert description.classes_of_level(2) == {
        "background": (0,),
        "cell": (1,),
        "vesicle": (2, 4, 5),
        "mitochondrion": (3, 6, 7),
    }
    assert read_json(folder / "dataset.json")["generator"] == {
        "name": "synthcell",
        "version": "1.0",
        "variant": "irregular",
        "seed": 5,
        "size": 32,
        "cases": {"train": 2, "val": 1, "test": 2},
    }
    index = 0
    for part, n_cases in (("Tr", 3), ("Ts", 2)):
        cases = find_cases(folder / f"images{part}", description)
        assert [case.case_id for case in cases] == [f"cell_{i:03d}" for i in range(index, index + n_cases)]
        for case in cases:
            expected = make_volume(VARIANTS["irregular"], 5, index, MINI_SIZE)
            volume = read_volume(case.channel_files)
            np.testing.assert_array_equal(volume.array[0], expected.image)
            assert volume.geometry.spacing_zyx_mm == (1.0, 1.0, 1.0)
            labels, geometry = read_label_map(folder / f"labels{part}" / f"{case.case_id}.nii.gz")
            np.testing.assert_array_equal(labels, expected.labels)
            assert geometry == volume.geometry
            index += 1


def test_the_same_flags_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        assert run(tmp_path / name, "--mini", "--cases", "1", "0", "0") == 0
    files = ["imagesTr/cell_000_0000.nii.gz", "labelsTr/cell_000.nii.gz", "dataset.json"]
    for file in files:
        one, two = (tmp_path / name / "Dataset007_SynthcellRegularMini" / file for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_names_and_sizes_of_choice(tmp_path):
    assert run(tmp_path, "--name", "Small", "--size", "24", "--cases", "1", "0", "0") == 0
    volume = read_volume([tmp_path / "Dataset007_Small/imagesTr/cell_000_0000.nii.gz"])
    assert volume.array.shape == (1, 24, 24, 24)
    assert not (tmp_path / "Dataset007_Small/imagesTs").exists()


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--cases", "0", "0", "5"], "at least one case to train on"),
        (["--cases", "5", "-1", "0"], "give numbers from 0"),
        (["--size", "23"], "allowed: 24 to 256 voxels"),
        (["--size", "257"], "allowed: 24 to 256 voxels"),
        (["--seed", "-1"], "at least 0 is expected"),
        (["--name", "a b"], "is not allowed"),
    ],
)
def test_bad_flags_are_refused_before_anything_is_written(tmp_path, capsys, flags, message):
    assert run(tmp_path / "raw", *flags) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "raw").exists()


def test_unknown_variants_and_contradictions_are_refused(tmp_path, capsys):
    for flags in (["--variant", "regulr"], ["--mini", "--size", "40"], ["--sed", "1"]):
        with pytest.raises(SystemExit) as stop:
            run(tmp_path, *flags)
        assert stop.value.code == 2
    assert "did you mean --seed?" in capsys.readouterr().err


def test_the_command_names_what_the_package_has():
    assert tuple(VARIANTS) == convert.VARIANT_NAMES
    assert (convert.MINI_SIZE, convert.FULL_SIZE) == (MINI_SIZE, synthcell_dataset.FULL_SIZE)
