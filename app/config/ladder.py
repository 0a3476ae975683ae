"""The ladder of models, quickest first: a line each. docs/models.md tells how to add one."""

from typing import Literal, NamedTuple

# keys of `train` that shape whatever is trained step by step
NETWORK = (
    "seed", "epochs", "batch_clips", "learning_rate", "weight_decay", "clip_norm", "patience", "on_the_fly", "ema",
    "precision", "dropout",
)  # fmt: skip


class Rung(NamedTuple):
    """What is known of an architecture without importing it."""

    home: str  # module:class, a torch module with `of(config)`
    keys: tuple[str, ...]  # of `train`, that shape its weights
    reads: Literal["extract", "waves"] = "extract"  # the stage: log-mel and temporal features, or waveforms


LADDER: dict[str, Rung] = {
    "pooled_logistic": Rung("app.models.pooled_logistic:PooledLogistic", ("batch_clips",)),
    "pooled_boosting": Rung("app.models.pooled_boosting:PooledBoosting", ("seed", "batch_clips")),
    "pooled_mlp": Rung("app.models.pooled_mlp:PooledMlp", (*NETWORK, "spec_augment")),
    "crnn": Rung("app.models.crnn:Crnn", (*NETWORK, "spec_augment", "cnn_channels", "rnn_hidden")),
    "lfcc_lcnn": Rung("app.models.lfcc_lcnn:LfccLcnn", NETWORK, reads="waves"),
    "ssl_head": Rung("app.models.ssl_head:SslHead", (*NETWORK, "ssl"), reads="waves"),
    "aasist_like": Rung("app.models.aasist_like:AasistLike", NETWORK, reads="waves"),
}
