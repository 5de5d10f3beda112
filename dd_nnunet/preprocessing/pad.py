"""Padding a prepared volume so that patches and strides fit, and taking it off again."""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from acvl_utils.cropping_and_padding.padding import pad_nd_image

from dd_nnunet.core.case import FloatArray
from dd_nnunet.core.plan import Zyx

Box = tuple[slice, slice, slice]


def pad_to_patch(array: FloatArray, patch_zyx: Zyx, multiple_zyx: Zyx) -> tuple[FloatArray, Box]:
    """Mirror a volume at its faces until it holds a patch and every axis is a multiple of the strides.

    Args:
        array: [C,Z,Y,X].
        patch_zyx: the smallest shape wanted.
        multiple_zyx: what each axis must be divisible by.

    Returns:
        The padded array [C,Z',Y',X'] (the same one if nothing was missing) and the box of the volume in it.
    """
    padded, slicer = pad_nd_image(
        array,
        list(patch_zyx),
        mode="symmetric",
        kwargs={},
        return_slicer=True,
        shape_must_be_divisible_by=[1, *multiple_zyx],
    )
    _, z, y, x = slicer
    return np.ascontiguousarray(padded), (z, y, x)


def unpad_slices(slices: Iterable[FloatArray], box: Box) -> Iterator[FloatArray]:
    """Inverse of `pad_to_patch`, slice by slice.

    Args:
        slices: [K,Y',X'] of a padded volume along Z.
        box: of the volume in the padded one.

    Yields:
        [K,Y,X] of the volume.
    """
    z, y, x = box
    for probabilities in islice(slices, z.start, z.stop):
        yield probabilities[:, y, x]
