"""How long and how a tower is trained, whatever the method."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fewshot_flair.encoders.processor import has_bfloat16
from fewshot_flair.errors import InputError

__all__ = ["TuningSettings"]


@dataclass(frozen=True)
class TuningSettings:
    """Settings of the loop; they are part of what a checkpoint belongs to.

    Parameters
    ----------
    epochs : int
        The most passes over the training rows, which the schedule of the step size is laid out for.
    batch_size : int
        Photographs a step.
    patience : int
        The held-out fold ends its training after so many epochs without a smaller loss.
    folds : int
        The training rows are parted into so many folds by patient, of which one is held out to choose the number of
        epochs; 0 holds nothing out and trains for all of them.
    head_rate : float
        Largest step size of AdamW for the head, whose numbers are larger than the tower's.
    weight_decay, clip : float
        Of AdamW, on matrices and kernels alone; largest norm of the gradient.
    augment : bool
        FLAIR's published augmentation (`augment_pixels`).
    balanced : bool
        Whether classes weigh alike in the loss, whatever their number of photographs.
    amp : bool, optional
        Mixed precision in bfloat16; by default where the device computes in it. Measuring is in float32 always.
    """

    epochs: int = 20
    batch_size: int = 16
    patience: int = 5
    folds: int = 5
    head_rate: float = 1e-2
    weight_decay: float = 1e-4
    clip: float = 1.0
    augment: bool = True
    balanced: bool = True
    amp: bool | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise InputError(f"fine-tuning: {name} is {getattr(self, name)}; give at least 1")
        for name, least in (("head_rate", "above 0"), ("clip", "above 0"), ("weight_decay", "0 or more")):
            value = getattr(self, name)
            if not 0 <= value < float("inf") or (value == 0 and least == "above 0"):
                raise InputError(f"fine-tuning: {name} is {value}; give a number {least}")
        if self.folds == 1 or self.folds < 0:
            raise InputError("fine-tuning: folds must be 2 or more, or 0 to hold nothing out")

    def mixed(self, device: str) -> bool:
        """Whether to train in bfloat16 on a device."""
        return has_bfloat16(device) if self.amp is None else self.amp

    def to_dict(self) -> dict[str, Any]:
        """Every setting, as JSON takes it."""
        return asdict(self)
