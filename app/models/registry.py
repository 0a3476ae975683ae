"""Models by name, as the ladder lists them."""

import difflib
from importlib import import_module

from torch import nn

from app.config import Config
from app.config.ladder import LADDER
from app.errors import UserError

NAMES = tuple(LADDER)


def build(name: str, config: Config) -> nn.Module:
    """A fresh model for the features of this config. Raises UserError for an unknown name.

    It has `learn(batches)`, which is called once with a function that begins a pass over the training batches, before
    all else, and fills what the model knows of its inputs; `trains_in_closed_form`, with which go `pooled` and `fit`;
    without it `learning_rate`, its own where the config has none.
    """
    check_names((name,))
    module, _, kind = LADDER[name].home.partition(":")
    model: nn.Module = getattr(import_module(module), kind).of(config)
    return model


def check_names(names: tuple[str, ...]) -> None:
    for name in names:
        if name not in NAMES:
            near = difflib.get_close_matches(name, NAMES, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(NAMES)}"
            raise UserError(f"train.models: unknown model '{name}'", hint)
