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
FEWEST, MOST = 6, 125  # clusters; more of them tear voices apart (measured on 3,088 clips of known speakers)
MOST_CENTRES = 2000  # agglomerated afterwards: its cost grows with the square


def clusters_of(ids: list[str], colours: NDArray[np.float64], digests: list[str], seed: int) -> dict[str, str]:
    """id -> cluster name.

    colours: (clips, numbers), any scale. Clips of equal digest share a cluster whatever
    their colour. There are about len(ids) / 25 clusters, 6 to 125; a name says nothing.
    """
    if len(ids) <= FEWEST:  # too few to compare
        labels = np.arange(len(ids))
    else:
        labels = _labels(colours, min(MOST, max(FEWEST, len(ids) // CLIPS_A_CLUSTER)), seed)
    first: dict[str, int] = {}
    return {
        id: f"cluster-{first.setdefault(digest, int(label)):04d}"
        for id, digest, label in zip(ids, digests, labels, strict=True)
    }


def _labels(colours: NDArray[np.float64], count: int, seed: int) -> NDArray[np.int64]:
    points = StandardScaler().fit_transform(colours)
    points = PCA(min(12, *points.shape), whiten=False, random_state=seed).fit_transform(points)
    if len(points) > MOST_CENTRES:
        centres = KMeans(MOST_CENTRES, n_init=1, random_state=seed).fit(points)
        merged = AgglomerativeClustering(count, linkage="average").fit_predict(centres.cluster_centers_)
        return merged[centres.labels_]
    return AgglomerativeClustering(count, linkage="average").fit_predict(points)
