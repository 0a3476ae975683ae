"""The only place that knows which torch is there and what it runs on. Holds from torch 2.0.1 to 2.11."""

import gc
import re
from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from app.driver import in_a_container, seen_on_host
from app.errors import UserError

# CUDA runtime error codes (cudaError_t) after which this GPU, or our place on it, is gone for this process while the
# next start may well succeed. Our own bugs are not among them: 700 illegal address, 710 device-side assert.
_LOST_CODES = {
    46,  # cudaErrorDevicesUnavailable: somebody holds it exclusively
    214,  # cudaErrorECCUncorrectable
    220,  # cudaErrorNvlinkUncorrectable
    226,  # cudaErrorContained: a hardware error on a peer
    714,  # cudaErrorHardwareStackError
    719,  # cudaErrorLaunchFailure: what a GPU that fell off the bus (Xid 79) usually says
    810,  # cudaErrorMpsClientTerminated: another client of the same MPS server failed
    999,  # cudaErrorUnknown: likewise
}
# The same, as cudaGetErrorString words it: torch before 2.8 gives no code, NCCL's errors never do
_LOST_WORDS = re.compile(
    r"CUDA-capable device\(s\) is/are busy or unavailable|uncorrectable (ECC|NVLink) error|"
    r"Invalid access of peer GPU memory over nvlink or a hardware error|hardware stack error|"
    r"unspecified launch failure|MPS client has been terminated|(CUDA error: |Cuda failure.*)unknown error|"
    r"GPU is lost|fallen off the bus|GPU requires (reset|restart)|device.lost",
    re.IGNORECASE,
)
_caps: dict[int, float] = {}  # of each GPU, the share of its memory that we let torch take
_MEMORY_CODE = 2  # cudaErrorMemoryAllocation
_MEMORY_WORDS = re.compile(
    r"CUDA out of memory|CUDA error: out of memory|Cuda failure.*out of memory|"
    r"CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED|CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"
)


def device_for(asked: str) -> torch.device:
    """auto | cpu | cuda -> where to compute. A GPU that is there and of no use is an error, not a silent CPU run."""
    if asked == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if asked == "cuda":
        raise UserError("DEVICE=cuda: this torch sees no GPU", "check `nvidia-smi`, or use DEVICE=cpu")
    if seen_on_host() and in_a_container():
        raise UserError(
            "there is a GPU on this host, and this container cannot use it: it was not given one, or torch "
            f"{torch.__version__} does not run with this driver, or the container lost it (a `systemctl daemon-reload` "
            "on the host takes the GPUs of running containers away)",
            "`make doctor` on the host finds out which and writes .env; a new container has them back; or DEVICE=cpu",
        )
    if seen_on_host():
        raise UserError(
            "there is a GPU on this host, and torch cannot use it (driver older than CUDA "
            f"{torch.version.cuda} needs, or changed without a restart, or CUDA_VISIBLE_DEVICES hides it)",
            "`make doctor` picks the torch that fits the driver; or say DEVICE=cpu to compute without",
        )
    return torch.device("cpu")


@lru_cache
def device_within(asked: str, share_of_free: float) -> torch.device:
    """device_for, with the cap of cap_memory; once a process, for what is free now is not what is free later."""
    device = device_for(asked)
    cap_memory(device, share_of_free)
    return device


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the GPU's memory was too small for what was asked (or our cap on it was): fewer clips at a time help."""
    # torch.OutOfMemoryError came with 2.5; torch.cuda has had its own name for it longer
    homes = (torch, torch.cuda)
    kinds = tuple(kind for kind in (getattr(home, "OutOfMemoryError", None) for home in homes) if kind is not None)
    if isinstance(error, kinds):
        return True
    if not isinstance(error, RuntimeError):
        return False
    return getattr(error, "error_code", None) == _MEMORY_CODE or bool(_MEMORY_WORDS.search(str(error)))


def is_gpu_lost(error: BaseException) -> bool:
    """Whether the GPU has left us: nothing on it can be saved any more, another start may find it or another one.

    719 and 999 may be a bug in a kernel too; nobody can tell from inside, and a new start loses little.
    """
    if not isinstance(error, RuntimeError) or is_out_of_memory(error):
        return False
    code = getattr(error, "error_code", None)  # torch.AcceleratorError, since 2.8
    return code in _LOST_CODES or bool(_LOST_WORDS.search(str(error)))


def cap_memory(device: torch.device, share_of_free: float) -> float | None:
    """Lets torch take at most this share (0..1) of what is free on `device` now; more is out of memory.

    Returns the cap in GB; None on a CPU, which is left alone. CUDA's own context (some 0.5 GB) comes on top.
    """
    if device.type != "cuda":
        return None
    index = torch.cuda.current_device() if device.index is None else device.index  # old torch wants a number
    free, total = torch.cuda.mem_get_info(index)
    ours = free + torch.cuda.memory_reserved(index)  # what torch holds already counts as free for us
    bytes_allowed = share_of_free * ours
    _caps[index] = min(1.0, bytes_allowed / total)
    torch.cuda.set_per_process_memory_fraction(_caps[index], index)
    return bytes_allowed / 1e9


def free_on(device: torch.device) -> float:
    """Bytes that we may still take on a GPU: of what is free there, within our cap (cap_memory)."""
    index = torch.cuda.current_device() if device.index is None else device.index  # old torch wants a number
    free, total = torch.cuda.mem_get_info(index)
    cap = _caps.get(index, 1.0) * total - torch.cuda.memory_allocated(index)
    return min(cap, free + torch.cuda.memory_reserved(index) - torch.cuda.memory_allocated(index))


def give_back_memory() -> None:
    """What this process keeps of a GPU's memory without using it is there for others. CUDA's context stays."""
    if torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()


def has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is fast there: on GPUs from Ampere on."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """Matrix products and convolutions in `dtype`. On a CPU torch before 2.3 knows bfloat16 alone."""
    context: AbstractContextManager[Any] = torch.autocast(device.type, dtype)
    return context


def in_full(device: torch.device) -> AbstractContextManager[Any]:
    """Within an autocast: not here."""
    context: AbstractContextManager[Any] = torch.autocast(device.type, enabled=False)
    return context


def grad_scaler(device: torch.device) -> Any:
    """torch's GradScaler; None where this torch has none for the device (a CPU, before 2.3)."""
    if hasattr(torch.amp, "GradScaler"):
        return torch.amp.GradScaler(device.type)
    return torch.cuda.amp.GradScaler() if device.type == "cuda" else None


def adamw(parameters: Iterable[torch.nn.Parameter], rate: float, decay: float) -> torch.optim.AdamW:
    """AdamW, in one kernel where the parameters lie on a GPU."""
    learnt = list(parameters)
    return torch.optim.AdamW(learnt, rate, weight_decay=decay, fused=learnt[0].is_cuda or None)


def is_compiling() -> bool:
    """Whether this call is one that the compiler reads (compile_in_place)."""
    compiler = getattr(torch, "compiler", None)  # since 2.1
    return bool(compiler and getattr(compiler, "is_compiling", bool)())


def compile_in_place(model: torch.nn.Module) -> None:
    """Its calls are compiled from now on. UserError where this torch cannot do that with this Python."""
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if version < (2, 2):
        raise UserError(
            f"train.compile: torch {torch.__version__} does not compile models with this Python",
            "train.compile: false, or a newer pin (`make doctor`)",
        )
    model.compile(dynamic=False)


def use_threads(count: int) -> None:
    torch.set_num_threads(count)


def gelu(values: torch.Tensor) -> torch.Tensor:
    """torch's gelu, any shape. On a CPU torch 2.0 reads a transposed gradient as if it were not, beyond its end."""
    found = F.gelu(values)
    if found.requires_grad:
        found.register_hook(lambda gradient: gradient.contiguous())
    return found


def in_hub_cache(file: str) -> Path:
    """Where torch.hub leaves a file that it has downloaded."""
    return Path(torch.hub.get_dir()) / "checkpoints" / file


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """Tensors by name, of .safetensors, or of what torch.save wrote. UserError where that is not safe or not such.

    Before 2.10 a crafted file could run code even with weights_only (CVE-2025-32434, CVE-2026-24747).
    """
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if path.suffix != ".safetensors" and version < (2, 10):
        raise UserError(
            f"{path}: torch {torch.__version__} cannot read such a file safely",
            "turn it into .safetensors where torch is 2.10 or newer (docs/models.md), and name that",
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        return found
    except Exception as error:  # whatever a foreign file makes of it
        why = " ".join(str(error).split())[:80] or type(error).__name__
        raise UserError(f"{path}: no weights that can be read ({why})", "get the file once more") from None


def versions() -> dict[str, str]:
    return {"torch": torch.__version__, "CUDA": torch.version.cuda or "none"}
