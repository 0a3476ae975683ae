"""The only place that knows which torch is there and what it runs on."""

import pynvml
import torch

from app.errors import UserError


def device_for(asked: str) -> torch.device:
    """auto | cpu | cuda -> where to compute. A GPU that is there and of no use is an error, not a silent CPU run."""
    if asked == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if asked == "cuda":
        raise UserError("DEVICE=cuda: this torch sees no GPU", "check `nvidia-smi`, or use DEVICE=cpu")
    if _gpu_in_the_host():
        raise UserError(
            "there is a GPU on this host, and torch cannot use it (driver older than CUDA "
            f"{torch.version.cuda} needs, or CUDA_VISIBLE_DEVICES hides it)",
            "update the driver, or say DEVICE=cpu to compute without it",
        )
    return torch.device("cpu")


def use_threads(count: int) -> None:
    torch.set_num_threads(count)


def versions() -> dict[str, str]:
    return {"torch": torch.__version__, "CUDA": torch.version.cuda or "none"}


def _gpu_in_the_host() -> bool:
    try:
        pynvml.nvmlInit()
        return bool(pynvml.nvmlDeviceGetCount())
    except pynvml.NVMLError:
        return False  # no driver, no GPU
