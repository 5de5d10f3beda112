"""What training would start from on the gallery's CT: the trunk with its lungs, and its kinds (decision 0021)."""

import numpy as np
import pytest
from gallery_phantoms import KINDS

from dd_nnunet.core.part_tree import PartTree
from dd_nnunet.regions.nested_parts import find_object
from dd_nnunet.training.nested_labels import NestedLabels, SampleCase

# air, tissue, lungs, spine and liver are labels 0 to 4; the planner's parts of level 2 all lie in the object
TREE = PartTree((2, 5), ((0, 1, 1, 1, 1),))


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_k_means_finds_the_four_kinds_in_the_trunk(seed):
    kind = KINDS["ct"]
    drawn = kind.draw(np.random.default_rng(seed), kind.shape_zyx)
    raw, truth = drawn.channels[0].astype(np.float32), drawn.labels
    low, high = np.percentile(raw, (0.5, 99.5))
    image = np.clip((raw - low) / (high - low), 0, 1).astype(np.float32)
    trunk = find_object(image, 50)
    assert dice(trunk, truth > 0) > 0.99
    sample = SampleCase(image[None], trunk[None].astype(np.uint8))
    found = NestedLabels(TREE, [sample], 0).of_case(sample)[1]
    best = [max(dice(found == part, truth == label) for part in range(5)) for label in range(5)]
    assert min(best) > 0.85, best
