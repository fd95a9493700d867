"""Filling a bank with the features of the photographs that it lacks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewshot_flair.bank.bank import FeatureBank
from fewshot_flair.bank.local import LocalRun, LocalView
from fewshot_flair.bank.pipeline import Extraction, Progress, Run
from fewshot_flair.data.checks import BadRowsError
from fewshot_flair.data.manifest import Manifest
from fewshot_flair.data.tables import SkippedRow
from fewshot_flair.errors import InputError
from fewshot_flair.words import counted

if TYPE_CHECKING:
    from fewshot_flair.encoders.base import Encoder

__all__ = ["Extraction", "Progress", "extract", "pick_batch_size", "processors", "told_of_damage"]


def extract(
    images: Manifest | Sequence[Manifest | str | Path],
    encoder: Encoder | LocalView,
    bank: FeatureBank,
    *,
    batch_size: int | None = None,
    workers: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    skip_bad: bool = False,
    scheduler: str | None = None,
) -> Extraction:
    """Encode those images that the bank lacks, each once, and keep every batch as soon as it is done.

    Images are hashed, decoded and prepared by threads while the network works; at most ``2 · workers``
    and a batch of prepared images wait, whatever the number of images. Every batch has the same shape (the last one is
    filled up), so that an image's features do not depend on which images it was encoded with. Stopped at
    any moment, a later call goes on where this one was; at most the batch in flight is encoded again.

    Parameters
    ----------
    images : Manifest, or sequence of manifests and paths
        A manifest lets messages name rows.
    encoder : Encoder or LocalView
        Its fingerprint must be the bank's. A `LocalView` gives local and global features in the same pass.
    batch_size : int, optional
        Images a forward pass; see `pick_batch_size`.
    workers : int, optional
        Threads that prepare images; by default as many as there are processors.
    progress : callable, optional
        Told how far it is, in the calling thread.
    skip_bad : bool
        Go on without images that cannot be read, and list them in the result, instead of raising.
    scheduler : str, optional
        Let the workers of a Dask scheduler (``tcp://HOST:PORT``), or so many processes here (``"2"``), do
        the work; needs the extra ``distributed``.

    Raises
    ------
    InputError
        If images cannot be read (`BadRowsError`, all of them at once, after the others were encoded), or
        the bank was made by another encoder.
    """
    if encoder.fingerprint_id != bank.source.fingerprint_id:
        bank = type(bank).open(bank.folder, encoder)  # raises, naming what differs
    given = [images] if isinstance(images, Manifest) else list(images)
    paths = [str(path) for item in given for path in (item.paths if isinstance(item, Manifest) else [item])]
    settings: Any = (bank, batch_size or pick_batch_size(encoder), workers or processors(), progress)
    with ExitStack() as stack:
        if isinstance(encoder, LocalView):
            if scheduler is not None:
                raise InputError("local features are made by this process alone; leave --scheduler out")
            run: Run = LocalRun(encoder, *settings)
        elif scheduler is None:
            run = Run(encoder, *settings)
        else:
            from fewshot_flair.bank.distributed import DistributedRun, connect

            run = DistributedRun(stack.enter_context(connect(scheduler)), encoder, *settings)
        stack.callback(run.close)
        run.fill(paths)
    run.result.skipped = _skipped(given, run.refused)
    if run.result.skipped and not skip_bad:
        sources = [item.source for item in given if isinstance(item, Manifest)]
        raise BadRowsError(sources[0] if sources else "images", run.result.skipped)
    return run.result


def told_of_damage(n: int) -> str:
    """That kept features were damaged, in a sentence; n is at least 1."""
    return (
        f"the kept features of {counted(n, 'photograph')} had been damaged on the disk and were made anew; "
        "`fewshot-flair bank verify` looks at all that is kept"
    )


def _skipped(given: Sequence[Manifest | str | Path], refused: Mapping[str, str]) -> list[SkippedRow]:
    rows: dict[str, SkippedRow] = {}
    for item in given:
        if isinstance(item, Manifest):
            paths = item.frame["path"].tolist()
            bad = [(i, refused[path]) for i, path in enumerate(paths) if path in refused]
            rows |= {paths[i]: row for (i, _), row in zip(bad, item.bad_rows(bad), strict=True)}
        elif str(item) in refused:
            rows[str(item)] = SkippedRow(0, str(item), refused[str(item)])
    return sorted(rows.values(), key=lambda row: row.row)


def pick_batch_size(encoder: Encoder | LocalView) -> int:
    """Images a forward pass: what was fastest for such inputs.

    On processors one large image at a time (its activations stay in the cache: ResNet-50 at 512 pixels
    takes a quarter less time an image than in batches of 8), or a few small ones, for which the calls
    themselves cost; on accelerators enough to fill them.
    """
    if encoder.device != "cpu":
        return 64
    return 1 if encoder.preparation.image_size >= 384 else 8


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
