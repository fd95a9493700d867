"""Zero-shot figures on held-out photographs while a network trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from fewshot_flair.evaluation import balanced_accuracy
from fewshot_flair.images.preparation import ImagePreparation, prepare
from fewshot_flair.text.knowledge import TEMPLATE, descriptions, prompts

if TYPE_CHECKING:
    from fewshot_flair.data import Manifest
    from fewshot_flair.encoders.flair_network import FLAIRNetwork
    from fewshot_flair.pretraining.assembly import HeldOut
    from fewshot_flair.pretraining.parallel import Ranks

__all__ = ["zero_shot_figures"]

BATCH = 32


class _Prepared(Dataset):
    def __init__(self, paths: Sequence[str], preparation: ImagePreparation) -> None:
        self._paths, self._preparation = paths, preparation

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(prepare(self._paths[index], self._preparation))


@torch.inference_mode()
def zero_shot_figures(
    network: FLAIRNetwork,
    held_out: Sequence[tuple[HeldOut, Manifest]],
    preparation: ImagePreparation,
    ranks: Ranks,
    workers: int = 0,
    template: str = TEMPLATE,
) -> list[dict[str, object]]:
    """Zero-shot balanced accuracy of each held-out set, with the dictionary's descriptions in the template.

    It is what the written model gives: prototypes are means that are kept as they are, as in the release.

    Each process encodes a part of the photographs.

    Returns
    -------
    list of dict
        ``data``, ``images`` and ``balanced_accuracy`` (a share, 0 to 1).
    """
    was_training = network.training
    network.eval()
    found: list[dict[str, object]] = []
    for each, manifest in held_out:
        prototypes = torch.stack(
            [network.encode_texts(prompts(descriptions(name), template)).mean(0) for name in manifest.classes]
        )
        own = list(manifest.frame["path"])[ranks.rank :: ranks.world]
        answers: list[int] = []
        for pixels in DataLoader(_Prepared(own, preparation), batch_size=BATCH, num_workers=workers):
            _, embeddings = network.encode_images(pixels.to(ranks.device))
            answers += (embeddings @ prototypes.T).argmax(1).tolist()
        predicted = np.empty(len(manifest), np.int64)
        for rank, part in enumerate(ranks.gather_objects(answers)):
            predicted[rank :: ranks.world] = part
        found.append(
            {
                "data": each.name,
                "images": len(manifest),
                "balanced_accuracy": balanced_accuracy(manifest.y, predicted),
            }
        )
    network.train(was_training)
    return found
