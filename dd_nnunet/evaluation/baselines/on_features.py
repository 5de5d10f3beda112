"""The rivals that need a fold's diffusion model; apart from the others, which need no torch."""

from dd_nnunet.evaluation.baselines.feat_gmm import cluster_by_mixture
from dd_nnunet.evaluation.baselines.feat_kmeans import cluster_by_kmeans
from dd_nnunet.evaluation.baselines.feature_clusters import Cluster

# fitted to the features of a fold by `FeatureClusters`
METHODS_ON_FEATURES: dict[str, Cluster] = {
    "feat-kmeans": cluster_by_kmeans,
    "feat-gmm": cluster_by_mixture,
}
