"""Mixtures of Gaussians with diagonal covariances, by expectation-maximisation."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.intp]
# when to end, as scikit-learn does by default
MAX_ITERATIONS = 100
TOLERANCE = 1e-3
# of the variance of all points: what a component keeps at least, so that none shrinks to a single point
SMALLEST_VARIANCE_SHARE = 1e-4
TINY = 1e-12


@dataclass(frozen=True)
class Mixture:
    """K Gaussians in D dimensions.

    Args:
        shares: [K], sum to 1.
        means: [K,D].
        variances: [K,D], above 0.
    """

    shares: Floats
    means: Floats
    variances: Floats

    def log_densities(self, points: Floats) -> Floats:
        """log(share times density) of points [N,D] under each component: [N,K]."""
        precisions = 1 / self.variances
        # the square is written out, so that no array of all points and components and dimensions is made
        squares = points**2 @ precisions.T - 2 * points @ (self.means * precisions).T
        squares += (self.means**2 * precisions).sum(axis=1)
        norms = np.log(2 * np.pi * self.variances).sum(axis=1)
        return np.asarray(np.log(self.shares) - (norms + squares) / 2)

    def assign(self, points: Floats) -> Numbers:
        """The component that each of the points [N,D] most probably comes from: [N]."""
        return np.asarray(self.log_densities(points).argmax(axis=1))


def fit_mixture(points: Floats, counts: Floats, start: Numbers, n_components: int) -> Mixture:
    """The mixture that a start leads to.

    Args:
        points: [N,D].
        counts: [N], above 0: how often each point occurs.
        start: [N] the component of each point before the first step.
        n_components: K.

    Returns:
        Components in the order of the start's numbers.

    Source: Dempster, Laird & Rubin, "Maximum likelihood from incomplete data via the EM algorithm", Journal of the
    Royal Statistical Society B 39 (1977).
    """
    # sums of squares lose less around 0
    centre = np.average(points, axis=0, weights=counts)
    centred = points - centre
    smallest = SMALLEST_VARIANCE_SHARE * np.average(centred**2, axis=0, weights=counts) + TINY
    memberships = np.eye(n_components)[start]  # [N,K]
    before = -np.inf
    for _ in range(MAX_ITERATIONS):
        mixture = maximise(centred, counts, memberships, smallest)
        densities = mixture.log_densities(centred)
        log_sums = np.logaddexp.reduce(densities, axis=1)
        likelihood = float(np.average(log_sums, weights=counts))
        if likelihood - before < TOLERANCE:
            break
        before = likelihood
        memberships = np.exp(densities - log_sums[:, None])
    return Mixture(mixture.shares, mixture.means + centre, mixture.variances)


def maximise(points: Floats, counts: Floats, memberships: Floats, smallest: Floats) -> Mixture:
    """The M-step: shares, means and variances of components whose members are known.

    Args:
        points: [N,D].
        counts: [N].
        memberships: [N,K], rows sum to 1.
        smallest: [D], added to the variances.
    """
    weights = memberships * counts[:, None]
    sums = weights.sum(axis=0) + TINY
    means = weights.T @ points / sums[:, None]
    variances = weights.T @ points**2 / sums[:, None] - means**2
    return Mixture(sums / sums.sum(), means, np.maximum(variances, 0) + smallest)
