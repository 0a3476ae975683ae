"""CUDA_VISIBLE_DEVICES, read without CUDA."""

import pytest

from app.runtime.cuda_visible import visible_gpus
from app.runtime.nvml import Gpu

EIGHT = [Gpu(f"GPU-{n}{n}-{letter}", n, "A100") for n, letter in enumerate("abcd")]
EIGHT += [Gpu(f"MIG-{n}f", 4, "A100 MIG 1g.5gb", parent="GPU-1x") for n in range(3)]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, [gpu.uuid for gpu in EIGHT]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("2", ["GPU-22-c"]),
        (" 3 , 1 ", ["GPU-33-d", "GPU-11-b"]),
        ("0,2,-1,1", ["GPU-00-a", "GPU-22-c"]),  # the example of the CUDA programming guide
        ("0,9,1", ["GPU-00-a"]),
        ("1,1", []),
        ("0,GPU-11-b", ["GPU-00-a"]),
        ("GPU-22-c,GPU-00-a", ["GPU-22-c", "GPU-00-a"]),
        ("GPU-3", ["GPU-33-d"]),
        ("GPU-11,GPU-2", ["GPU-11-b", "GPU-22-c"]),
        ("GPU-1,GPU-2", []),  # fits two GPUs: 11-b and 1x
        ("GPU-2,GPU-7,GPU-0", ["GPU-22-c"]),
        ("GPU-2,1", ["GPU-22-c"]),
        ("GPU-2,GPU-22", []),
        ("4", ["MIG-0f", "MIG-1f", "MIG-2f"]),
        ("GPU-1x", ["MIG-0f", "MIG-1f", "MIG-2f"]),
        ("MIG-1f", ["MIG-1f"]),
        ("MIG-2,MIG-0", ["MIG-2f", "MIG-0f"]),
        ("MIG-2,GPU-00-a", ["MIG-2f"]),
        ("MIG-", []),
    ],
)
def test_visible_devices_are_read_as_cuda_reads_them(asked, expected):
    assert [gpu.uuid for gpu in visible_gpus(EIGHT, asked)] == expected
