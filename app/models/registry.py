"""The ladder of models, by name, quickest first."""

import difflib

from torch import nn

from app.config import Config
from app.errors import UserError
from app.features.extract import channel_names
from app.models.crnn import Crnn
from app.models.pooled_logistic import PooledLogistic

NAMES = ("pooled_logistic", "crnn")


def build(name: str, config: Config) -> nn.Module:
    """A fresh model for the features of this config. Raises UserError for an unknown name."""
    check_names((name,))
    mels, channels, how = config.extract.mels, channel_names(config.extract), config.train
    if name == "pooled_logistic":
        return PooledLogistic(mels, channels)
    return Crnn(mels, channels, how.cnn_channels, how.rnn_hidden, how.dropout)


def check_names(names: tuple[str, ...]) -> None:
    for name in names:
        if name not in NAMES:
            near = difflib.get_close_matches(name, NAMES, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(NAMES)}"
            raise UserError(f"train.models: unknown model '{name}'", hint)
