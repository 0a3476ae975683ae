"""What torch's errors mean. Their texts are those of cudaGetErrorString and of torch; there is no GPU here."""

import pynvml
import pytest
import torch

from app import compat
from app.errors import UserError

MORE = (
    "\nCUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be "
    "incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1\n"
    "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n"
)
MEMORY = [
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 39.39 GiB of which 1.1 GiB is free.",
    "CUDA error: out of memory" + MORE,
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
]
LOST = [
    "CUDA error: unspecified launch failure" + MORE,
    "CUDA error: unknown error" + MORE,
    "CUDA error: uncorrectable ECC error encountered" + MORE,
    "CUDA error: CUDA-capable device(s) is/are busy or unavailable" + MORE,
    "NCCL error: unhandled cuda error\nLast error:\nCuda failure 719 'unspecified launch failure'",
    "Can't get GPU stats: GPU is lost",
]
NEITHER = [
    "CUDA error: device-side assert triggered" + MORE,
    "CUDA error: an illegal memory access was encountered" + MORE,
    "CUDA error: invalid device ordinal" + MORE,
    "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)",
    "DataLoader worker failed with an unknown error",
]


@pytest.mark.parametrize("text", MEMORY + LOST + NEITHER, ids=lambda text: text[:40])
def test_errors_of_any_torch_are_told_apart_by_their_text(text):
    error = RuntimeError(text)
    assert compat.is_out_of_memory(error) is (text in MEMORY)
    assert compat.is_gpu_lost(error) is (text in LOST)


def test_torchs_own_class_is_enough_wherever_it_lives(monkeypatch):
    class Old(RuntimeError):
        """torch.cuda.OutOfMemoryError of torch 2.0, which torch itself does not name."""

    assert compat.is_out_of_memory(torch.cuda.OutOfMemoryError("no text that we know"))
    monkeypatch.delattr(torch, "OutOfMemoryError", raising=False)
    monkeypatch.setattr(torch.cuda, "OutOfMemoryError", Old)
    assert compat.is_out_of_memory(Old("no text that we know"))
    monkeypatch.delattr(torch.cuda, "OutOfMemoryError")
    assert not compat.is_out_of_memory(Old("no text that we know"))
    assert compat.is_out_of_memory(Old(MEMORY[0]))


@pytest.mark.parametrize(
    ("code", "memory", "lost"),
    [
        (2, True, False),
        (719, False, True),
        (999, False, True),
        (214, False, True),
        (700, False, False),
        (710, False, False),
    ],
)
def test_the_code_of_an_accelerator_error_counts(code, memory, lost):
    error = getattr(torch, "AcceleratorError", RuntimeError)("an error in other words")
    error.error_code = code
    assert (compat.is_out_of_memory(error), compat.is_gpu_lost(error)) == (memory, lost)


def test_other_errors_are_never_the_gpus():
    for error in (ValueError(LOST[0]), OSError(MEMORY[0]), KeyboardInterrupt()):
        assert not compat.is_out_of_memory(error) and not compat.is_gpu_lost(error)


@pytest.mark.parametrize(("reserved", "share"), [(0, 0.5 * 10 / 40), (6, 0.5 * 16 / 40)])
def test_memory_is_capped_by_what_is_free(monkeypatch, reserved, share):
    """There is no GPU here: four functions of torch.cuda play one with 10 of 40 GB free."""
    seen = []
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(torch.cuda, "mem_get_info", {3: (10 * 10**9, 40 * 10**9)}.__getitem__)
    monkeypatch.setattr(torch.cuda, "memory_reserved", {3: reserved * 10**9}.__getitem__)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *args: seen.append(args))
    assert compat.cap_memory(torch.device("cuda"), 0.5) == pytest.approx(share * 40)
    assert seen == [(pytest.approx(share), 3)]


def test_on_a_cpu_there_is_nothing_to_cap(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *args: pytest.fail("CUDA was touched"))
    assert compat.cap_memory(torch.device("cpu"), 0.9) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_real_gpu_keeps_to_its_cap():
    device = torch.device("cuda")
    cap = compat.cap_memory(device, 0.05)
    try:
        with pytest.raises(Exception) as caught:
            torch.empty(int(1.2 * cap * 1e9), dtype=torch.uint8, device=device)
        assert compat.is_out_of_memory(caught.value) and not compat.is_gpu_lost(caught.value)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.parametrize(
    ("code", "there"), [("LIBRARY_NOT_FOUND", 0), ("DRIVER_NOT_LOADED", 0), ("LIB_RM_VERSION_MISMATCH", 1)]
)
@pytest.mark.parametrize(("inside", "words"), [(False, "torch cannot use it"), (True, "daemon-reload")])
def test_a_gpu_whose_driver_is_broken_is_an_error_and_none_is_not(monkeypatch, code, there, inside, words):
    """There is no driver here to break: NVML's answer is played."""
    monkeypatch.setattr(compat, "in_a_container", lambda: inside)

    def fail():
        raise pynvml.NVMLError(getattr(pynvml, f"NVML_ERROR_{code}"))

    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    if there:
        with pytest.raises(UserError, match=words):
            compat.device_for("auto")
    else:
        assert compat.device_for("auto") == torch.device("cpu")
    with pytest.raises(UserError, match="DEVICE=cuda"):
        compat.device_for("cuda")


def test_gelu_has_the_same_gradient_however_what_comes_back_lies_in_memory():
    values = torch.randn(22, 4, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    back = torch.randn(22, 8, 4, generator=torch.Generator().manual_seed(1)).transpose(1, 2)
    found = []
    for gradient in (back, back.contiguous(), back):
        values.grad = None
        compat.gelu(values).backward(gradient)
        found.append(values.grad)
    assert torch.equal(found[0], found[1]) and torch.equal(found[1], found[2])
    exact = values.detach().double().requires_grad_()
    (exact * 0.5 * (1 + torch.erf(exact / 2**0.5))).backward(back.double())
    torch.testing.assert_close(found[0].double(), exact.grad, rtol=1e-5, atol=1e-6)
