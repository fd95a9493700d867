"""Start several processes on this machine that train together."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from fewshot_flair.errors import InputError

__all__ = ["launch"]


def launch(processes: int, restarts: int, arguments: Sequence[str]) -> None:
    """Run ``python -m fewshot_flair.pretraining`` in so many processes, by torchrun.

    Parameters
    ----------
    restarts : int
        How often all of them are started again when one dies; they go on from the last checkpoint.
    arguments : sequence of str
        Of the command.

    Raises
    ------
    InputError
        If they did not finish; what each said stands above.
    """
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"),
        *(f"--max-restarts={restarts}", "-m", "fewshot_flair.pretraining", *arguments),
    ]
    if subprocess.run(command).returncode:  # noqa: S603
        raise InputError(
            "training ended before its time; the reason stands above. The same command goes on from the last checkpoint"
        )
