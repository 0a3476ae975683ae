"""Front ends that others have trained on thousands of hours of speech: torchaudio's models, with weights of the user's.

Nothing is downloaded: the weights are those that torchaudio itself leaves in torch's cache, or a file that is named.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from app.compat import in_hub_cache, load_weights
from app.errors import UserError
from app.runtime.files import sha256_of


class Front(NamedTuple):
    factory: str  # of torchaudio.models
    file: str  # as torchaudio.pipelines names it in torch's cache
    layers: int
    width: int


FRONTS = {
    "WAV2VEC2_BASE": Front("wav2vec2_base", "wav2vec2_fairseq_base_ls960.pth", 12, 768),
    "HUBERT_BASE": Front("hubert_base", "hubert_fairseq_base_ls960.pth", 12, 768),
    "WAV2VEC2_XLSR_300M": Front("wav2vec2_xlsr_300m", "wav2vec2_xlsr_300m.pth", 24, 1024),
}


class Frozen:
    """A front end that is never trained, nor saved with the model that stands on it, nor copied."""

    def __init__(self, network: nn.Module, sha256: str) -> None:
        self.network = network.eval().requires_grad_(False)
        self.mark = torch.tensor([int(sha256[at : at + 15], 16) for at in (0, 15, 30, 45)])  # which weights these are

    def __deepcopy__(self, memo: Any) -> "Frozen":
        return self

    @torch.no_grad()
    def layers(self, wave: Tensor) -> Tensor:
        """(clips, samples at 16 kHz) -> (clips, layers, steps of 20 ms, width)."""
        found, _ = self.network.to(wave.device).extract_features(wave)  # type: ignore[operator]
        return torch.stack(found, 1)


@lru_cache(1)
def front_end(name: str, weights: str | None) -> Frozen:
    """name: one of FRONTS. weights: a .pth or .safetensors file; None: torch's cache. UserError without them."""
    from torchaudio import models

    front = FRONTS[name]
    path = Path(weights) if weights else in_hub_cache(front.file)
    if not path.is_file():
        raise UserError(
            f"train.ssl_weights: no weights of {name} at {path}",
            f"get them once where there is a network, `python -c 'import torchaudio; torchaudio.pipelines.{name}."
            "get_model()'`, and copy the file there, or name it: --set train.ssl_weights=FILE",
        )
    network = getattr(models, front.factory)()
    try:
        network.load_state_dict(load_weights(path))
    except RuntimeError as error:
        raise UserError(
            f"{path}: not the weights of {name} ({str(error).splitlines()[-1].strip()})", "name a file of this model"
        ) from None
    return Frozen(network, sha256_of(path))
