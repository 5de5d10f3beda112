"""What of a volume is not background: the box that is kept and the voxels whose intensities count."""

import numpy as np
import numpy.typing as npt

from dd_nnunet.core.case import FloatArray
from dd_nnunet.core.plan import Zyx

# a constant that fills one face of a cube holds a sixth of its border
MIN_BORDER_SHARE = 1 / 8
Mask = npt.NDArray[np.bool_]


def foreground_mask(array: FloatArray) -> Mask:
    """Voxels that differ from the background in any channel.

    Background is the constant, zero or not, that most voxels of the volume's border have, if that is at least
    an eighth of them; a channel without such a constant is foreground everywhere.

    Args:
        array: [C,Z,Y,X] raw intensities.

    Returns:
        [Z,Y,X] bool.
    """
    mask = np.zeros(array.shape[1:], dtype=bool)
    for channel in array:
        constant = background_constant(channel)
        if constant is None:
            return np.ones_like(mask)
        mask |= channel != constant
    return mask


def background_constant(channel: FloatArray) -> float | None:
    """The most frequent border intensity of a volume [Z,Y,X], or None if it is not frequent enough."""
    faces = [np.take(channel, index, axis).ravel() for axis in range(3) for index in (0, -1)]
    values, counts = np.unique(np.concatenate(faces), return_counts=True)
    most = int(np.argmax(counts))
    return float(values[most]) if counts[most] >= MIN_BORDER_SHARE * counts.sum() else None


def bounding_box(mask: Mask) -> tuple[Zyx, Zyx]:
    """The smallest box around the true voxels as (start, stop); the whole volume if there are none."""
    if not mask.any():
        z, y, x = mask.shape
        return (0, 0, 0), (z, y, x)
    starts, stops = [], []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        (occupied,) = np.nonzero(mask.any(axis=others))
        starts.append(int(occupied[0]))
        stops.append(int(occupied[-1]) + 1)
    return (starts[0], starts[1], starts[2]), (stops[0], stops[1], stops[2])
