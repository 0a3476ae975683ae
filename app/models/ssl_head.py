"""A front end that learnt speech by itself, frozen; on top a weighted sum of its layers, pooled, and one linear layer.

The weighted sum is SUPERB's way (S. Yang et al., Interspeech 2021); XLS-R in front of countermeasures: H. Tak et al.,
Automatic speaker verification spoofing and deepfake detection using wav2vec 2.0 and data augmentation, Odyssey 2022.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from app.config import Config
from app.errors import UserError
from app.features.batches import Waves
from app.models.pretrained import FRONTS, front_end
from app.models.wave_inputs import at_rate, heard

RATE = 16000  # Hz, which all of FRONTS hear
HIDDEN = 128


class SslHead(nn.Module):
    trains_in_closed_form = False
    clips_at_once = 4  # on a CPU
    learning_rate = 1e-3
    front_mark: Tensor

    def __init__(self, sample_rate: int, name: str, weights: str | None, dropout: float) -> None:
        super().__init__()
        self.name, self.at_rate = name, at_rate(sample_rate, RATE)
        self.frozen = front_end(name, weights)
        front = FRONTS[name]
        self.register_buffer("front_mark", self.frozen.mark.clone())
        self.of_layers = nn.Parameter(torch.zeros(front.layers))
        self.shrink = nn.Sequential(nn.Linear(front.width, HIDDEN), nn.GELU(), nn.Dropout(dropout))
        self.score = nn.Linear(HIDDEN, 1, bias=False)
        self.head = nn.Linear(2 * HIDDEN, 2)
        self.register_load_state_dict_post_hook(_same_front)

    @classmethod
    def of(cls, config: Config) -> "SslHead":
        how = config.train
        return cls(config.sample_rate, how.ssl, how.ssl_weights, how.dropout)

    def learn(self, batches: Callable[[], Iterable[Waves]]) -> None:
        """Nothing: it hears clips at one level."""

    def forward(self, batch: Waves) -> Tensor:
        """(clips, 2) logits."""
        layers = self.frozen.layers(self.at_rate(heard(batch)).float())
        steps = self.shrink((layers * self.of_layers.softmax(0)[:, None, None]).sum(1))
        weights = self.score(steps).softmax(1)
        return self.head(torch.cat([(steps * weights).sum(1), steps.amax(1)], -1))


def _same_front(model: Any, _: Any) -> None:
    if not torch.equal(model.front_mark.cpu(), model.frozen.mark):
        raise UserError(
            f"train.ssl_weights: this model was trained on other weights of {model.name}",
            "name the file that it was trained with, or train it anew",
        )
