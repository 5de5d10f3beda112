"""Rivals of the trained model, one file per method."""

from collections.abc import Callable, Sequence
from functools import partial

from dd_nnunet.core.plan import ConfigurationPlan, LevelPlan
from dd_nnunet.evaluation.baselines.bright_cluster import segment_bright_cluster
from dd_nnunet.evaluation.baselines.denoise_kmeans import by_bm4d, by_nl_means, segment_denoised
from dd_nnunet.evaluation.baselines.kmeans import FloatImage, Parts, segment_by_kmeans
from dd_nnunet.evaluation.baselines.objects import OBJECTS, segment_objects
from dd_nnunet.evaluation.baselines.otsu import segment_otsu

# a prepared image [C,Z,Y,X], the levels asked for, and their configuration
Segment = Callable[[FloatImage, Sequence[LevelPlan], ConfigurationPlan], tuple[Parts, ...]]


def _by_numbers(segment: Callable[[FloatImage, Sequence[int]], tuple[Parts, ...]]) -> Segment:
    """A method that needs to know of a plan no more than how many parts there are."""
    return lambda image, levels, _: segment(image, [level.n_parts for level in levels])


# a case is all they need; those that need a fold are in on_features.py, beside torch
METHODS: dict[str, Segment] = {
    "kmeans": _by_numbers(segment_by_kmeans),
    "denoise-kmeans": _by_numbers(segment_denoised),
    OBJECTS: segment_objects,
    "otsu": _by_numbers(segment_otsu),
    "bright-cluster": _by_numbers(segment_bright_cluster),
    "nlm-kmeans": _by_numbers(partial(segment_denoised, denoiser=by_nl_means)),
    "bm4d-kmeans": _by_numbers(partial(segment_denoised, denoiser=by_bm4d)),
}
