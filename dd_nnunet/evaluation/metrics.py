"""Numbers for one class of one image, and the uncertainty of their mean."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_erosion, distance_transform_edt

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
Spacing = tuple[float, float, float]
PERCENTILE = 95.0
BOOTSTRAP_SEED = 12345


def dice_and_iou(tp: int, fp: int, fn: int) -> tuple[float | None, float | None]:
    """Dice and intersection over union; None where both masks are empty, 0 where one is."""
    if tp + fp + fn == 0:
        return None, None
    return 2 * tp / (2 * tp + fp + fn), tp / (tp + fp + fn)


def hd95_mm(prediction: BoolArray, truth: BoolArray, spacing_zyx_mm: Spacing) -> float | None:
    """95 % Hausdorff distance: the 95th percentile of the symmetric surface distances.

    A surface voxel is a voxel of the mask with a face neighbour outside it; beyond the image is outside.
    The distances from every surface voxel of one mask to the nearest surface voxel of the other, both ways,
    form one set, of which the percentile (linear interpolation) is taken. Some tools take the larger of the
    two one-way percentiles instead, which is the same or larger.

    Args:
        prediction: [Z,Y,X].
        truth: [Z,Y,X].
        spacing_zyx_mm: voxel size.

    Returns:
        Millimetres; None where both masks are empty, the volume's diagonal where one of them is.
    """
    if not prediction.any() and not truth.any():
        return None
    if not prediction.any() or not truth.any():
        return diagonal_mm(truth.shape, spacing_zyx_mm)
    box = _bounding_box(prediction | truth)
    first, second = _surface(prediction[box]), _surface(truth[box])
    to_first = distance_transform_edt(~first, sampling=spacing_zyx_mm)
    to_second = distance_transform_edt(~second, sampling=spacing_zyx_mm)
    return float(np.percentile(np.concatenate([to_second[first], to_first[second]]), PERCENTILE))


def diagonal_mm(shape_zyx: tuple[int, ...], spacing_zyx_mm: Spacing) -> float:
    """Length of the volume's diagonal, from corner to corner of its outer voxels' faces."""
    return float(np.linalg.norm(np.multiply(shape_zyx, spacing_zyx_mm)))


def bootstrap_interval(
    scores: FloatArray, n_resamples: int = 1000, coverage: float = 0.95, seed: int = BOOTSTRAP_SEED
) -> tuple[float, float] | None:
    """Percentile bootstrap over images of a score that is first averaged over images, then over classes.

    Args:
        scores: [N,C], NaN where a class has no score in an image.
        n_resamples: how often N images are drawn with replacement.
        coverage: of the interval.
        seed: of the draws.

    Returns:
        Lower and upper end, or None for fewer than two images, which say nothing about images not seen.

    Source: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    if len(scores) < 2:
        return None
    drawn = np.random.default_rng(seed).integers(len(scores), size=(n_resamples, len(scores)))  # [R,N]
    means = mean_over_classes(scores[drawn])  # [R]
    means = means[~np.isnan(means)]
    if not len(means):
        return None
    lower, upper = np.quantile(means, [(1 - coverage) / 2, (1 + coverage) / 2])
    return float(lower), float(upper)


def mean_over_images(scores: FloatArray) -> FloatArray:
    """Mean over images [..., N, C] -> [..., C] of the defined scores; NaN for a class without any."""
    return _mean_of_defined(scores, axis=-2)


def mean_over_classes(scores: FloatArray) -> FloatArray:
    """Mean over classes of the means over images: [..., N, C] -> [...]."""
    return _mean_of_defined(mean_over_images(scores), axis=-1)


def _mean_of_defined(values: FloatArray, axis: int) -> FloatArray:
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        means = np.where(defined, values, 0.0).sum(axis=axis) / defined.sum(axis=axis)
    return np.asarray(means, dtype=np.float64)


def _surface(mask: BoolArray) -> BoolArray:
    return np.asarray(mask & ~binary_erosion(mask, border_value=0), dtype=np.bool_)


def _bounding_box(mask: BoolArray) -> tuple[slice, ...]:
    ranges = []
    for axis in range(mask.ndim):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        hit = np.flatnonzero(mask.any(axis=others))
        ranges.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return tuple(ranges)
