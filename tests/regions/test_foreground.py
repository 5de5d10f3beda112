import numpy as np

from dd_nnunet.regions.foreground import background_constant, bounding_box, foreground_mask


def padded_noise(background):
    volume = np.full((1, 8, 9, 10), background, np.float32)
    volume[0, 2:6, 3:8, 1:9] = np.random.default_rng(0).uniform(100, 200, (4, 5, 8))
    return volume


def test_any_constant_at_the_border_is_background():
    for background in (0.0, -1024.0, 37.5):
        mask = foreground_mask(padded_noise(background))
        assert bounding_box(mask) == ((2, 3, 1), (6, 8, 9))
        assert mask.sum() == 4 * 5 * 8


def test_noise_at_the_border_leaves_nothing_out():
    volume = np.random.default_rng(0).normal(size=(1, 6, 6, 6)).astype(np.float32)
    assert background_constant(volume[0]) is None
    assert foreground_mask(volume).all()


def test_one_constant_face_is_cropped():
    volume = np.random.default_rng(0).normal(size=(1, 8, 8, 8)).astype(np.float32)
    volume[0, 0] = 7.0
    assert bounding_box(foreground_mask(volume)) == ((1, 0, 0), (8, 8, 8))


def test_a_voxel_of_any_channel_counts():
    volume = np.zeros((2, 6, 6, 6), np.float32)
    volume[0, 2, 2, 2] = 1.0
    volume[1, 4, 3, 2] = 1.0
    assert bounding_box(foreground_mask(volume)) == ((2, 2, 2), (5, 4, 3))


def test_background_voxels_inside_the_object_are_left_out():
    volume = padded_noise(0.0)
    volume[0, 3, 4, 5] = 0.0
    assert not foreground_mask(volume)[3, 4, 5]


def test_nothing_in_it_keeps_the_whole_volume():
    assert bounding_box(np.zeros((2, 3, 4), bool)) == ((0, 0, 0), (2, 3, 4))
