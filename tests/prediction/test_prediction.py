"""Sliding window and alignment of parts, by hand."""

import itertools

import numpy as np
import pytest
import torch

from dd_nnunet.core.part_tree import PartTree
from dd_nnunet.core.tiling import gaussian_window, iterate_tiles, tile_starts
from dd_nnunet.networks.device import choose_runtime
from dd_nnunet.prediction.align_parts import align_to_reference, average_folds, overlap_matrix
from dd_nnunet.prediction.sliding_window import mirror_combinations, predict_slices

RUNTIME = choose_runtime("cpu", "float32")


def aligned(overlaps):
    """Of a single level."""
    return align_to_reference([overlaps], PartTree((len(overlaps),)))


class VoxelWise(torch.nn.Module):
    """Logits that depend on the voxel alone: no patch, weight or mirror may change the result."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat((x, 1 - 2 * x), dim=1)


class CountsPatches(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return torch.cat((x, x), dim=1)


def test_tile_starts_by_hand() -> None:
    assert tile_starts(10, 10, 0.5) == (0,)
    assert tile_starts(20, 10, 0.5) == (0, 5, 10)
    assert tile_starts(21, 10, 0.5) == (0, 4, 7, 11)
    assert tile_starts(24, 8, 0.5, multiple=4) == (0, 4, 8, 12, 16)


@pytest.mark.parametrize("size", range(8, 40))
def test_tiles_cover_every_voxel_in_steps_no_larger_than_asked(size: int) -> None:
    starts = tile_starts(size, 8, 0.5)
    assert starts[0] == 0 and starts[-1] == size - 8
    assert all(b - a <= 4 for a, b in itertools.pairwise(starts))


def test_tiles_of_a_volume() -> None:
    assert list(iterate_tiles((4, 8, 4), (4, 4, 4), 1.0)) == [(0, 0, 0), (0, 4, 0)]


def test_gaussian_window_is_one_in_the_middle_and_symmetric() -> None:
    window = gaussian_window((5, 5, 5))
    assert window[2, 2, 2] == 1
    assert window.min() > 0
    assert np.allclose(window, window[::-1])


@pytest.mark.parametrize("mirror", [False, True])
def test_sliding_window_of_a_voxelwise_network_is_the_network(mirror: bool) -> None:
    image = np.random.default_rng(0).random((1, 9, 14, 8), dtype=np.float32)
    found = np.stack(list(predict_slices(VoxelWise(), image, (8, 8, 8), RUNTIME, 0.5, mirror)), axis=1)
    expected = VoxelWise()(torch.from_numpy(image)[None]).softmax(dim=1)[0]
    assert np.allclose(found, expected.numpy(), atol=1e-6)
    assert np.allclose(found.sum(axis=0), 1, atol=1e-6)


def test_mirroring_uses_all_eight_copies() -> None:
    assert len(set(mirror_combinations(True))) == 8
    network = CountsPatches()
    list(predict_slices(network, np.zeros((1, 8, 8, 8), np.float32), (8, 8, 8), RUNTIME, 0.5, True))
    assert network.calls == 8


def one_hot(labels: list[int], n_parts: int) -> np.ndarray:
    return np.eye(n_parts, dtype=np.float32)[labels].T.reshape(n_parts, 1, 1, len(labels))


def test_permuted_parts_are_found_again() -> None:
    reference = one_hot([0, 0, 0, 1, 1, 2], 3)
    other = one_hot([2, 2, 2, 0, 0, 1], 3)
    overlaps = overlap_matrix(reference.argmax(axis=0), other.argmax(axis=0), 3)
    assert overlaps.tolist() == [[0, 0, 3], [2, 0, 0], [0, 1, 0]]
    order = aligned(overlaps)
    assert order == (2, 0, 1)
    assert np.array_equal(average_folds([reference, other], [(0, 1, 2), order]), reference)


def test_parts_without_overlap_keep_their_numbers() -> None:
    assert aligned(np.zeros((3, 3))) == (0, 1, 2)


def test_siblings_of_three_levels_are_found_again_within_their_parents() -> None:
    tree = PartTree((2, 3, 5), ((0, 1, 1), (0, 1, 1, 2, 2)))
    finest = np.array([0, 0, 0, 1, 1, 2, 3, 3, 3, 4])
    reference = [*tree.coarser(finest, 2), finest]
    # another fold has parts 1 and 2 of level 2 exchanged, and the children of the latter too
    exchanged = np.array([0, 3, 4, 2, 1])[finest]
    other = [*tree.coarser(exchanged, 2), exchanged]
    overlaps = [overlap_matrix(a, b, n) for a, b, n in zip(reference, other, tree.n_parts, strict=True)]
    order = align_to_reference(overlaps, tree)
    assert order == (0, 1, 2 + 0, 2 + 2, 2 + 1, 5 + 0, 5 + 3, 5 + 4, 5 + 2, 5 + 1)
    averaged = average_folds([tree.one_hot(reference), tree.one_hot(other)], [tuple(range(10)), order])
    assert np.array_equal(averaged, tree.one_hot(reference))


def test_alignment_goes_by_dice_not_by_overlap() -> None:
    # part 1 of the other model covers everything; by overlap alone it would take the large part
    overlaps = np.array([[5.0, 6.0], [0.0, 4.0]])
    # Dice: 10/16, 12/21 / 0, 8/14 -> keep: .625 + .571 beats .571 + 0
    assert aligned(overlaps) == (0, 1)
