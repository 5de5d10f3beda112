"""Padding a prepared volume so that patches and strides fit, and taking it off again."""

import numpy as np
import numpy.typing as npt
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


def unpad(array: npt.NDArray[np.generic], box: Box) -> npt.NDArray[np.generic]:
    """Inverse of `pad_to_patch`: the box of the last three axes."""
    return array[(..., *box)]
