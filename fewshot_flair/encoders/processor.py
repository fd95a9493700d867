"""What the device can do; of the processor, found without loading torch."""

from __future__ import annotations

from functools import cache
from pathlib import Path

__all__ = ["has_bfloat16"]

_CPU_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


@cache
def has_bfloat16(device: str) -> bool:
    """Whether a device multiplies in bfloat16 faster than in float32.

    An NVIDIA card does from compute capability 8.0 on (earlier ones emulate it), other accelerators do; a
    processor, if the kernel lists such instructions (where it lists none, as outside Linux, the answer is
    no). A device that is not there doesn't: using it is what says so.
    """
    if device.startswith("cuda"):
        return _cuda_has_bfloat16(device)
    if not device.startswith("cpu"):
        return True
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return bool(_CPU_FLAGS & set(flags.split()))


def _cuda_has_bfloat16(device: str) -> bool:
    import torch

    try:
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    except (RuntimeError, AssertionError, ValueError):
        return False
