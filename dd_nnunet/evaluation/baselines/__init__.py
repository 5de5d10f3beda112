"""Rivals that need no training of ours, one file per method."""

from collections.abc import Callable, Sequence

from dd_nnunet.evaluation.baselines.denoise_kmeans import segment_denoised
from dd_nnunet.evaluation.baselines.kmeans import FloatImage, Parts, segment_by_kmeans

Segment = Callable[[FloatImage, Sequence[int]], tuple[Parts, ...]]

METHODS: dict[str, Segment] = {
    "kmeans": segment_by_kmeans,
    "denoise-kmeans": segment_denoised,
}
