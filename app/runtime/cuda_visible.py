"""CUDA_VISIBLE_DEVICES as CUDA reads it, without starting CUDA."""

import re

from app.runtime.nvml import Gpu

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus(gpus: list[Gpu], asked: str | None) -> list[Gpu]:
    """Those that CUDA would show with CUDA_VISIBLE_DEVICES=`asked` (None: not set), in that order.

    Numbers, or UUIDs, or beginnings of UUIDs that fit one GPU only; the first entry that fits none ends
    the list ("-1" and "NoDevFiles" are such); one named twice hides all. A GPU in MIG mode stands for its
    instances. Source: CUDA programming guide, environment variables, and torch.cuda's own reading of it.
    """
    if asked is None:
        return gpus
    asked = asked.strip()
    kind = asked[:4] if asked.startswith(("GPU-", "MIG-")) else ""
    found: list[Gpu] = []
    for entry in map(str.strip, asked.split(",")):
        group = _named(gpus, entry, kind) if kind else _numbered(gpus, entry)
        if not group:
            break
        if group[0] in found:
            return []
        found += group
    return found


def _named(gpus: list[Gpu], entry: str, kind: str) -> list[Gpu]:
    if not entry.startswith(kind):
        return []
    of = {gpu.uuid: gpu.parent or gpu.uuid if kind == "GPU-" else gpu.uuid for gpu in gpus}
    fits = {name for name in of.values() if name.startswith(entry)}
    return [gpu for gpu in gpus if of[gpu.uuid] in fits] if len(fits) == 1 else []


def _numbered(gpus: list[Gpu], entry: str) -> list[Gpu]:
    number = re.match(r"[+-]?\d+", entry)  # as strtoul reads: "1gpu" is 1
    return [gpu for gpu in gpus if number and gpu.index == int(number[0])]
