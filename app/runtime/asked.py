"""What the command line and the environment ask for beyond the config's file, and in which words."""

import argparse
import os
import re

import yaml

from app.config import Asked
from app.errors import UserError
from app.runtime.cuda_visible import VISIBLE


def asked_for(args: argparse.Namespace) -> dict[str, Asked]:
    """--set, --workers, --device, options whose name is a key, and GPU, MAX_GPUS, GPUS. UserError for what is none."""
    found: dict[str, Asked] = {}
    for item in args.set:
        key, _, value = item.partition("=")
        try:
            found[key] = Asked(yaml.safe_load(value), f"--set {item}")
        except yaml.YAMLError as error:
            raise UserError(f"--set {item}: not a value ({error})", "for example --set mix.window_s=4") from None
    found |= {key: Asked(value, f"--{key}") for key, value in vars(args).items() if "." in key and value is not None}
    if args.workers is not None:
        found["runtime.workers"] = Asked(args.workers, f"WORKERS={args.workers}")
    if args.device not in (None, "auto", "cpu", "cuda"):
        raise UserError(f"DEVICE={args.device} is no device", "DEVICE=auto, cpu or cuda")
    if args.device is not None:
        found["runtime.device"] = Asked(args.device, f"DEVICE={args.device}")
    gpu, most = os.environ.get("GPU") or None, whole("MAX_GPUS")
    if gpu not in (None, "wait"):
        raise UserError(f"GPU={gpu} is nothing we know", "GPU=wait waits for a free one; CUDA_VISIBLE_DEVICES chooses")
    if gpu:
        found["runtime.gpu_wait"] = Asked(True, "GPU=wait")
    if most is not None:
        found["runtime.max_gpus"] = Asked(most, f"MAX_GPUS={most}")
    return found | _gpus(os.environ.get("GPUS") or "all")


def whole(name: str) -> int | None:
    """An environment variable as a whole number. UserError for anything else."""
    text = os.environ.get(name, "")
    if text and not text.isdigit():
        raise UserError(f"{name}={text} is not a whole number", f"for example {name}=4")
    return int(text) if text else None


def seconds(name: str) -> float | None:
    """An environment variable as a time: 90s, 30m, 2h, 1h30m. None where it is not given; UserError for another."""
    text = os.environ.get(name, "").strip()
    if not text:
        return None
    found = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", text)
    if not found:
        raise UserError(f"{name}={text} is no time", f"for example {name}=30m, {name}=1h30m or {name}=90s")
    return sum(float(part or 0) * unit for part, unit in zip(found.groups(), (3600, 60, 1), strict=True))


def _gpus(asked: str) -> dict[str, Asked]:
    """GPUS: how many (2), which (0,1; "1," alone; UUIDs), all or none. CUDA_VISIBLE_DEVICES, if set, counts more."""
    by = f"GPUS={asked}"
    if asked == "none":
        return {"runtime.device": Asked("cpu", by)}
    if asked.isdigit() and int(asked):
        return {"runtime.max_gpus": Asked(int(asked), by)}
    if asked != "all":
        if not re.fullmatch(r"(\d+,|((\d+|(GPU|MIG)-[\w/-]+),)+(\d+|(GPU|MIG)-[\w/-]+)|(GPU|MIG)-[\w/-]+)", asked):
            raise UserError(
                f"{by} names no GPUs",
                "GPUS=2: how many; GPUS=0,1 or UUIDs of nvidia-smi: which; GPUS=1, (with a comma): that one; all; none",
            )
        os.environ.setdefault(VISIBLE, asked.rstrip(","))
    return {}
