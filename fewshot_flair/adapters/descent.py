"""The common loop of gradient-trained heads, run in the span of the shots.

SS-Text's benchmark fits every head alike: 300 full-batch steps of SGD, momentum 0.9, no weight decay, step
size 0.05 · (1 + cos(π t / 300)). The gradient of a cosine head with respect to w_c is a combination of the
shots x̂_i and of w_c itself, so every iterate is a combination of shots and starting points, and its
coefficients can be iterated instead of its D columns, on the Gram matrix of shots and starting points.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from fewshot_flair.adapters.batch import EpisodeBatch
from fewshot_flair.adapters.namespaces import Array
from fewshot_flair.adapters.spans import search_space

__all__ = ["MOMENTUM", "STEPS", "cosine_descent", "residuals", "step_sizes"]

STEPS = 300
MOMENTUM = 0.9


def step_sizes(steps: int = STEPS) -> Iterator[float]:
    """Step sizes of the common loop: a cosine from 0.1 to 0."""
    for t in range(steps):
        yield 0.05 * (1 + math.cos(math.pi * t / steps))


def residuals(xp: Any, logits: Array, mass: Array, weight: Array) -> Array:
    """Gradient of the weighted cross-entropy in the logits: ``weight · softmax(logits) − mass``.

    Parameters
    ----------
    logits, mass : (B, C, N)
        `mass` is what each row weighs in its class; `logits` is overwritten.
    weight : (B, 1, N)
        Sum of `mass` over classes.
    """
    logits -= xp.max(logits, axis=1, keepdims=True)
    exponentials = xp.exp(logits)
    exponentials *= weight / xp.sum(exponentials, axis=1, keepdims=True)
    exponentials -= mass
    return exponentials


def cosine_descent(
    batch: EpisodeBatch,
    start: Array,
    scale: float,
    mass: Array,
    *,
    margin: Array | None = None,
    pull: Array | None = None,
    rate: float = 1.0,
    steps: int = STEPS,
) -> Array:
    """Minimise a cosine head's weighted cross-entropy by the common loop.

    Parameters
    ----------
    start : (B, C, D)
        Where the weights start.
    scale : float
        s, on the cosines.
    mass : (B, C, N)
        What each row weighs in its class; the loss is ``Σ mass · cross-entropy``.
    margin : (B, C), optional
        Taken from the true class's logit.
    pull : (B, C), optional
        λ_c of a penalty ``λ_c ‖w_c − start_c‖²``.
    rate : float
        Multiplies the gradient in the weights.

    Returns
    -------
    (B, C, D)
        The weights after the last step.
    """
    xp = batch.xp
    space = search_space(batch, start)
    origin = space.origin
    coefficients, velocity = xp.asarray(origin, copy=True), xp.zeros_like(origin)
    weight = xp.sum(mass, axis=1, keepdims=True)
    # A row's mass is all in its true class, so mass/weight is its one-hot label.
    lowered = None if margin is None else margin[:, :, None] * xp.astype(mass > 0, mass.dtype)
    pull = None if pull is None else 2 * rate * pull[:, :, None]
    tiny, ones = 1e-12, xp.ones_like(origin[:, :, :1])
    for step in step_sizes(steps):
        velocity *= MOMENTUM
        along = xp.zeros_like(origin[:, :, :1])
        for rows, products, squares in space.blocks(coefficients):
            inverse = 1 / xp.sqrt(xp.where(squares > tiny, squares, ones))
            factor = scale * inverse
            logits = products * factor
            if lowered is not None:
                logits -= lowered[:, :, rows]
            slope = residuals(xp, logits, mass[:, :, rows], weight[:, :, rows])
            slope *= factor if rate == 1 else factor * rate
            space.add(velocity, slope, rows)
            along += (xp.vecdot(slope, products)[:, :, None]) * inverse**2
        # Along w itself the cosines do not change: that part of the gradient is taken out.
        velocity -= coefficients * along
        if pull is not None:
            velocity += pull * (coefficients - origin)
        coefficients -= step * velocity
    return space.weights(coefficients)
