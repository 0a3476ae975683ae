"""Which recordings may be of one speaker or engine, where nothing says so: by how alike they sound.

A stand-in for metadata, never as good: it keeps copies and near-copies together
and makes it likely, not certain, that a voice lies in one split.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

CLIPS_A_CLUSTER = 25
FEWEST, MOST = 6, 125  # clusters to begin with; more of them tear voices apart
BIGGEST = 0.4  # of all clips: a cluster that holds nearly all of them leaves nothing to validate on
MOST_CENTRES = 2000  # agglomerated afterwards: its cost grows with the square


def clusters_of(ids: list[str], colours: NDArray[np.float64], digests: list[str], seed: int) -> dict[str, str]:
    """id -> cluster name.

    colours: (clips, numbers), any scale. Clips of equal digest share a cluster whatever
    their colour. There are about len(ids) / 25 clusters, 6 to 125, or as many more as
    it takes until none holds over 40 % of the clips; a name says nothing.
    """
    labels = _labels(colours, seed) if len(ids) > FEWEST else np.arange(len(ids))
    first: dict[str, int] = {}
    return {
        id: f"cluster-{first.setdefault(digest, int(label)):04d}"
        for id, digest, label in zip(ids, digests, labels, strict=True)
    }


def _labels(colours: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    points = StandardScaler().fit_transform(colours)
    with np.errstate(invalid="ignore"):  # clips that all sound the same have no variance to explain
        points = PCA(min(12, *points.shape), whiten=False, random_state=seed).fit_transform(points)
    nodes, node_of = points, np.arange(len(points))
    if len(points) > MOST_CENTRES:
        centres = KMeans(MOST_CENTRES, n_init=1, random_state=seed).fit(points)
        nodes, node_of = centres.cluster_centers_, centres.labels_
    count = min(MOST, max(FEWEST, len(points) // CLIPS_A_CLUSTER))
    while True:
        labels = AgglomerativeClustering(count, linkage="average").fit_predict(nodes)[node_of]
        if np.bincount(labels).max() <= BIGGEST * len(labels) or count == len(nodes):
            return labels
        count = min(len(nodes), count * 3 // 2)
