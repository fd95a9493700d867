"""Zero-shot classification with text prototypes.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021;
Silva-Rodríguez et al., "A Foundation Language-Image Model of the Retina (FLAIR)", MedIA 2025.

    logits = s · x̂·t̂_c
"""

from __future__ import annotations

from fewshot_flair.adapters.base import Adapter
from fewshot_flair.adapters.batch import EpisodeBatch
from fewshot_flair.adapters.heads import Head, cosine_head
from fewshot_flair.adapters.registry import register


@register
class ZeroShot(Adapter):
    """The text prototypes as they are; the shots are not looked at."""

    name = "zero-shot"
    needs_shots = False
    class_balanced = True
    summary = "the text prototypes alone; shots are not used"
    paper = "Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021"

    def fit_batch(self, batch: EpisodeBatch) -> Head:
        """Cosine head of the prototypes, the same for every episode."""
        text = batch.prototypes
        return cosine_head(batch.xp, batch.per_episode(text.prototypes), text.scale)
