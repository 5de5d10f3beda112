import shutil
from collections import namedtuple
from dataclasses import replace

import pytest
from small_fold import CONFIGURATION, make_setup, train_diffusion, train_level

from dd_nnunet.core.errors import DiskError
from dd_nnunet.training import cache_size
from dd_nnunet.training.cache_size import features_bytes

Usage = namedtuple("Usage", "total used free")


def test_bytes_by_hand():
    # 16³ voxels and two resolutions of 4 and 8 channels: both stages have 4 channels, all kept; a denoised copy
    assert CONFIGURATION.features.n_components == 4
    assert features_bytes(CONFIGURATION, (1,), 1) == 2 * (4 * 8**3 + 16**3)
    assert features_bytes(CONFIGURATION, (1, 2), 3) == 3 * 2 * (4 * 8**3 + 4 * 16**3 + 16**3)
    fewer = replace(CONFIGURATION, features=replace(CONFIGURATION.features, n_components=1))
    assert features_bytes(fewer, (1,), 1) == 2 * (8**3 + 16**3)
    image = replace(CONFIGURATION, features=replace(CONFIGURATION.features, visual_target="image"))
    assert features_bytes(image, (1,), 1) == 2 * 4 * 8**3


def test_a_larger_volume_is_padded_to_whole_cells():
    larger = replace(CONFIGURATION, median_shape_zyx=(17, 16, 16))
    assert features_bytes(larger, (1,), 1) == 2 * (4 * 9 * 8 * 8 + 18 * 16 * 16)


def test_the_estimate_is_what_is_written_before_compression(tmp_path):
    setup = make_setup(tmp_path / "cases")
    train_diffusion(setup, tmp_path)
    train_level(setup, tmp_path, CONFIGURATION.levels[0])
    written = sum(path.stat().st_size for path in (tmp_path / "features").glob("*.b2nd"))
    expected = features_bytes(CONFIGURATION, (1, 2), len(setup.fold.train))
    assert 0.5 * expected < written < 1.1 * expected


def test_a_disk_without_room_is_told_before_anything_is_computed(tmp_path, monkeypatch):
    setup = make_setup(tmp_path / "cases")
    train_diffusion(setup, tmp_path)
    needed = features_bytes(CONFIGURATION, (1, 2), 4)
    with monkeypatch.context() as patch:
        patch.setattr(cache_size.shutil, "disk_usage", lambda place: Usage(0, 0, needed - 1))
        with pytest.raises(
            DiskError,
            match=r"features of 4 training cases need about \S+ GB, and \S+ GB are free on this disk",
        ):
            train_level(setup, tmp_path, CONFIGURATION.levels[0])
    assert not list((tmp_path / "features").glob("*.b2nd"))
    assert shutil.disk_usage(tmp_path).free > needed
    train_level(setup, tmp_path, CONFIGURATION.levels[0])
