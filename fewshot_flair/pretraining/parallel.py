"""Several processes that train one network: each has a part of every batch, and the objective sees all of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.autograd import Function
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from fewshot_flair.errors import InputError

__all__ = ["Ranks", "joined", "share_batch_norms"]

Result = TypeVar("Result")


@dataclass(frozen=True)
class Ranks:
    """Which process this is, of how many, and on which device it computes."""

    rank: int = 0
    world: int = 1
    device: str = "cpu"

    def part(self, whole: Any) -> Any:
        """The part of a batch that this process has: the `rank`-th of `world` equal slices."""
        size = len(whole) // self.world
        return whole[self.rank * size : (self.rank + 1) * size]

    def gather(self, part: Tensor) -> Tensor:
        """The parts [B, ...] of all processes, one after the other, [world · B, ...]; gradients reach each part.

        Where every process computes the same loss of the whole, each gets `world` times its gradient, which
        averaging over processes (as DistributedDataParallel does) divides again.
        """
        return part if self.world == 1 else _Gather.apply(part, self)

    def gather_objects(self, own: Result) -> list[Result]:
        """What every process has, in their order."""
        if self.world == 1:
            return [own]
        found: list[Any] = [None] * self.world
        distributed.all_gather_object(found, own)
        return found

    def from_first(self, make: Callable[[], Result]) -> Result:
        """What the first process makes, for all of them."""
        if self.world == 1:
            return make()
        made = [make() if self.rank == 0 else None]
        distributed.broadcast_object_list(made, src=0)
        return made[0]  # type: ignore[return-value]


@contextmanager
def joined(device: str | None = None) -> Iterator[Ranks]:
    """Join the other processes, where torchrun started this one; else be the only one.

    Parameters
    ----------
    device : str, optional
        By default a CUDA device if there is one, else "cpu". "cuda" is each process's own.

    Raises
    ------
    InputError
        If torch has no such device.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if "RANK" not in os.environ:
        yield Ranks(device=_checked(device))
        return
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(_checked(device))
    backend = "nccl" if device.startswith("cuda") else "gloo"
    # torchrun keeps one store over its restarts: without a name of their own, processes that are started again may
    # take the addresses of those that died, and wait for them
    store, rank, world = next(rendezvous("env://"))
    store = PrefixStore(f"start {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    distributed.init_process_group(backend, store=store, rank=rank, world_size=world)
    try:
        yield Ranks(distributed.get_rank(), distributed.get_world_size(), _checked(device))
    finally:
        distributed.destroy_process_group()


def _checked(device: str) -> str:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"device {device!r} cannot be used ({first}); give --device cpu") from error
    return device


def share_batch_norms(network: nn.Module, ranks: Ranks) -> None:
    """Let batch normalisation count the whole batch, of all processes; tensor names stay.

    On CUDA devices torch's `SyncBatchNorm` does; it has no other devices.
    """
    if ranks.world == 1:
        return
    if ranks.device.startswith("cuda"):
        nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = _SharedBatchNorm
            module.ranks = ranks  # type: ignore[assignment]


class _SharedBatchNorm(nn.BatchNorm2d):
    ranks: Ranks

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        n = x.numel() // x.shape[1] * self.ranks.world
        mean = _Sum.apply(x.float().sum((0, 2, 3))) / n
        centred = x.float() - mean[:, None, None]
        variance = _Sum.apply(centred.square().sum((0, 2, 3))) / n
        with torch.no_grad():
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
            self.running_mean.lerp_(mean, self.momentum)  # type: ignore[union-attr, arg-type]
            self.running_var.lerp_(variance * n / (n - 1), self.momentum)  # type: ignore[union-attr, arg-type]
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


class _Gather(Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        parts = [torch.empty_like(part) for _ in range(ranks.world)]
        distributed.all_gather(parts, part.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        whole = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(whole)
        return ctx.ranks.part(whole), None


class _Sum(Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        whole = part.clone()
        distributed.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        whole = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(whole)
        return whole
