"""k-means of voxels in torch: k-means++ on a sample, Lloyd on all, in chunks."""

import torch
from torch import Tensor

CHUNK = 2**18


def seed_centres(points: Tensor, n_centres: int, seed: int, n_trials: int = 4) -> Tensor:
    """Greedy k-means++: each centre is the best of a few draws in proportion to the squared distance.

    Args:
        points: [N,d].
        n_centres: K.
        seed: of the draws.
        n_trials: draws per centre.

    Returns:
        [K,d].

    Source: Arthur & Vassilvitskii, SODA 2007, with the greedy draws of their section 2.2.
    """
    random = torch.Generator().manual_seed(seed)
    first = int(torch.randint(len(points), (1,), generator=random))
    centres = [points[first]]
    distance = (points - centres[0]).square().sum(dim=1)
    for _ in range(n_centres - 1):
        weights = distance.clamp(min=0).double() + 1e-12
        drawn = torch.multinomial(weights[: 2**24], n_trials, replacement=True, generator=random)
        options = torch.minimum(distance, torch.cdist(points[drawn], points).square())  # [trials,N]
        best = int(options.sum(dim=1).argmin())
        centres.append(points[drawn[best]])
        distance = options[best]
    return torch.stack(centres)


def assign(points: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest centre of each point: labels [N] int64 and squared distances [N]."""
    labels, distances = [], []
    for chunk in torch.split(points, CHUNK):
        distance, label = torch.cdist(chunk, centres).min(dim=1)
        labels.append(label)
        distances.append(distance.square())
    return torch.cat(labels), torch.cat(distances)


def lloyd(points: Tensor, centres: Tensor, n_iterations: int) -> Tensor:
    """Lloyd's iterations from given centres; a centre that loses all its points moves to the worst-served one.

    Args:
        points: [N,d].
        centres: [K,d].
        n_iterations: at most; ends early when nothing moves.

    Returns:
        [K,d].
    """
    for _ in range(n_iterations):
        labels, distances = assign(points, centres)
        sums = torch.zeros_like(centres, dtype=torch.float64).index_add_(0, labels, points.double())
        counts = torch.bincount(labels, minlength=len(centres))
        moved = (sums / counts.clamp(min=1)[:, None]).to(points.dtype)
        for empty in torch.nonzero(counts == 0).flatten().tolist():
            worst = int(distances.argmax())
            moved[empty] = points[worst]
            distances[worst] = 0
        if torch.equal(moved, centres):
            break
        centres = moved
    return centres


def kmeans(points: Tensor, n_centres: int, seed: int, n_iterations: int = 50, n_starts: int = 3) -> Tensor:
    """Centres [K,d] of the best of a few starts, in rising order of their first coordinate."""
    best, best_inertia = points[:0], float("inf")
    for start in range(n_starts):
        centres = lloyd(points, seed_centres(points, n_centres, seed + start), n_iterations)
        inertia = float(assign(points, centres)[1].double().sum())
        if inertia < best_inertia:
            best, best_inertia = centres, inertia
    return best[best[:, 0].argsort()]
