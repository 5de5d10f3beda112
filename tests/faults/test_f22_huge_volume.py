"""F22: volumes are prepared and predicted within a memory limit; what cannot fit is refused before it is begun."""

import shutil
import sys

import numpy as np
import pytest
from limited_memory import run_limited, run_within
from planned import NAME, Faulty
from predicting import make_toy, noise
from small_plan import AT_1_MM
from small_volumes import cell, volume_of, write_volume
from whole_volume import convolution, whole_volume

from dd_nnunet.core.plan import LevelPlan
from dd_nnunet.preprocessing.case import preprocess_case
from dd_nnunet.storage import hardware
from dd_nnunet.storage.atomic import read_json, write_json
from dd_nnunet.storage.case_store import read_properties
from dd_nnunet.storage.volume import read_label_map

MB = 10**6
linux = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is not kept elsewhere")
# probabilities of 64 parts: 94 MB for the volume, 9 MB for the slices of a patch
LONG_VOLUME = """
import numpy as np
from dataclasses import replace
from pathlib import Path
from small_plan import AT_1_MM
from small_volumes import volume_of
from whole_volume import convolution, whole_volume
from dd_nnunet.core.plan import LevelGroup, LevelPlan
from dd_nnunet.networks.device import choose_runtime
from dd_nnunet.prediction.predict_case import FoldEnsemble, PredictionSettings
from dd_nnunet.preprocessing.case import preprocess_case

configuration = replace(AT_1_MM, patch_size_zyx=(16, 16, 16))
settings = PredictionSettings(configuration, choose_runtime("cpu", "float32"), mirror=False)

def predict(depth):
    array = np.random.default_rng(0).random((depth, 48, 48), dtype=np.float32)
    case = preprocess_case(volume_of(array), "long", configuration)
    networks = [convolution(64, seed=1), convolution(64, seed=1)]
    level = LevelPlan(1, 64, (1,))
    ensemble = FoldEnsemble(networks, settings, LevelGroup((level,)))
    return case, ensemble.write(case, {level: Path(folder) / f"{depth}.nii.gz"})[level]

folder = r"@folder"
predict(16)
"""
PREPARE = """
import numpy as np
from dataclasses import replace
from small_plan import AT_1_MM
from small_volumes import volume_of
from dd_nnunet.preprocessing.case import preprocess_case

def prepare(edge, spacing):
    array = np.random.default_rng(0).random((edge, edge, edge), dtype=np.float32)
    configuration = replace(AT_1_MM, spacing_zyx_mm=(spacing, spacing, spacing))
    return preprocess_case(volume_of(array), "x", configuration).array.shape

prepare(16, 0.9)
"""
# the whole command, after a small volume
COMMAND = """
from pathlib import Path
from dd_nnunet.commands.predict import main_from_modelfolder

command = @command
assert main_from_modelfolder(command) == 0
(Path(command[3]) / "small_0000.nii.gz").unlink()
Path(r"@hidden").rename(Path(command[3]) / "large_0000.nii.gz")
"""


@linux
def test_prediction_does_not_hold_the_probabilities_of_the_volume(tmp_path):
    # what fails is the plain way, of one array of which 94 MB are too many
    work = """
predict(160)
try:
    whole_volume(convolution(64), np.zeros((1, 160, 48, 48), np.float32), (16, 16, 16), 0.5)
except RuntimeError as error:
    print("can't allocate memory" in str(error))
"""
    done = run_limited(LONG_VOLUME.replace("@folder", str(tmp_path)), work, 70 * MB)
    assert done.stdout == "True\n", done.stderr[-2000:]
    array = np.random.default_rng(0).random((160, 48, 48), dtype=np.float32)
    case = preprocess_case(volume_of(array), "long", AT_1_MM)
    expected = whole_volume(convolution(64, seed=1), case.array, (16, 16, 16), 0.5).argmax(axis=0)
    found = read_label_map(tmp_path / "160.nii.gz")[0]
    assert len(np.unique(found)) > 2
    np.testing.assert_array_equal(found, expected)


@linux
def test_preparation_holds_no_copies_of_8_bytes_per_voxel():
    # the raw volume, the mask and the prepared one are 9 bytes per voxel, what its percentiles need 8
    done = run_limited(PREPARE, "print(prepare(128, 1.0))", 22 * 128**3)
    assert done.stdout == "(1, 128, 128, 128)\n", done.stderr[-2000:]


@linux
@pytest.mark.slow
def test_a_volume_of_256_voxels_is_prepared_in_an_eighth_of_what_512_may_take():
    done = run_limited(PREPARE, "print(prepare(256, 0.9))", (6000 - 450) / 8 * MB)
    assert done.stdout == "(1, 284, 284, 284)\n", done.stderr[-2000:]


@linux
@pytest.mark.slow
def test_the_command_predicts_256_voxels_in_8_parts(tmp_path):
    """Its probabilities are 0.54 GB, of which the plain way holds four copies."""
    toy = make_toy(tmp_path, levels=(LevelPlan(1, 8, (1,)),), patch_zyx=(64, 64, 64))
    toy.add_image("small", noise(0, (64, 64, 64)), spacing_zyx=(2.0, 1.0, 1.0))
    path = toy.add_image("large", noise(1, (256, 256, 256)), spacing_zyx=(2.0, 1.0, 1.0))
    hidden = path.rename(tmp_path / path.name)
    setup = COMMAND.replace("@command", repr([*toy.command, "-step_size", "1.0", "-q"]))
    work = "assert main_from_modelfolder(command) == 0"
    done = run_limited(setup.replace("@hidden", str(hidden)), work, 700 * MB)
    assert done.returncode == 0, done.stderr[-2000:]
    assert toy.labels(1, "large").shape == (256, 256, 256)
    assert toy.states == {"small": "done", "large": "done"}


@linux
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_512_voxels_are_prepared_and_predicted_in_an_address_space_of_max_ram(tmp_path):
    """Float32, resampled to 569³ and in 8 parts, in 6 GB; its probabilities alone would be 4.3 GB."""
    dataset = Faulty.below(tmp_path / "dataset", NAME)
    described = {"channel_names": {"0": "light"}, "numTraining": 1, "file_ending": ".nii"}
    write_json(dataset.raw / "dataset.json", described)
    raw = dataset.raw / "imagesTr" / "large_0000.nii"
    write_volume(raw, np.tile(cell(shape=(64, 64, 64)), (8, 8, 8)), (2.0, 1.0, 1.0))
    toy = make_toy(tmp_path / "toy", levels=(LevelPlan(1, 8, (1,)),), patch_zyx=(64, 64, 64))
    described = read_json(toy.model / "dataset.json") | {"file_ending": ".nii"}
    write_json(toy.model / "dataset.json", described)
    (toy.images / raw.name).hardlink_to(raw)
    try:
        flags = ["-d", "5", "--no_pbar", *dataset.flags, "-np", "1", "--preset", "fast"]
        spacing = ["-overwrite_target_spacing", "1.8", "0.9", "0.9"]
        done = run_within(6, "plan_and_preprocess:main", *flags, *spacing)
        assert done.returncode == 0, done.stderr[-2000:]
        prepared = read_properties(dataset.preprocessed / "ddPlans_3d_fullres", "large")
        assert prepared.prepared_shape_zyx == (569, 569, 569)
        done = run_within(6, "predict:main_from_modelfolder", *toy.command, "-step_size", "1.0", "-q")
        assert done.returncode == 0, done.stderr[-2000:]
        labels = read_label_map(toy.out / "level1" / "large.nii")[0]
        assert labels.shape == (512, 512, 512) and len(np.unique(labels)) > 1
        assert toy.states == {"large": "done"}
    finally:
        # not for the next runs of pytest to keep
        shutil.rmtree(tmp_path)


def test_a_limit_below_a_single_patch_is_refused_at_once(tmp_path, capsys):
    toy = make_toy(tmp_path)
    toy.add_image("a", noise())
    assert toy.predict("--max_ram", "0.3") == 2
    assert capsys.readouterr().err == (
        "dd_predict_from_modelfolder: error: a patch of 12 x 14 x 16 voxels: needs about 0.42 GB of memory, "
        "the limit is 0.30 GB; free some, take fewer folds (-f), or give more with --max_ram GB\n"
    )
    assert not [path for path in toy.out.rglob("*") if path.is_file()]


def test_a_case_too_large_for_the_limit_is_refused_and_the_others_are_done(tmp_path):
    toy = make_toy(tmp_path)
    toy.add_image("large", noise(0, (150, 128, 128)))
    toy.add_image("small", noise(1))
    # 0.42 GB for the process; 28 bytes for each of 2.5 million raw voxels and 12 for each prepared one, 0.09
    assert toy.predict("--max_ram", "0.5") == 3
    assert toy.states == {"large": "failed", "small": "done"}
    reason = toy.record["cases"]["large"]["reason"]
    assert reason.startswith("case large: needs about 0.51 GB of memory, the limit is 0.50 GB; ")


def test_what_is_free_is_the_limit_unless_one_is_given(tmp_path, monkeypatch, capsys):
    toy = make_toy(tmp_path)
    toy.add_image("a", noise())
    monkeypatch.setattr(hardware, "available_ram_bytes", lambda: 100 * 1024**2)
    assert toy.predict() == 2
    assert "the limit is 0.10 GB" in capsys.readouterr().err
    assert toy.predict("--max_ram", "1") == 0


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf"])
def test_a_limit_is_a_number_above_0(tmp_path, value, capsys):
    toy = make_toy(tmp_path)
    assert toy.predict("--max_ram", value) == 2
    assert f"--max_ram: is {value}; allowed: above 0" in capsys.readouterr().err
