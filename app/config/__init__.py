"""The config of a run: its sections, and how its file is read."""

from app.config.file import Asked, leaves_of, load_config, origins_of, read_config, values_of
from app.config.sections import (
    CODECS,
    Augmentations,
    Config,
    ExtractConfig,
    MixConfig,
    PrepareConfig,
    RuntimeConfig,
    StateShares,
    TableConfig,
    TrainConfig,
)

__all__ = [
    "CODECS",
    "Asked",
    "Augmentations",
    "Config",
    "ExtractConfig",
    "MixConfig",
    "PrepareConfig",
    "RuntimeConfig",
    "StateShares",
    "TableConfig",
    "TrainConfig",
    "leaves_of",
    "load_config",
    "origins_of",
    "read_config",
    "values_of",
]
