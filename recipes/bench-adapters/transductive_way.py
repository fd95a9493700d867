"""The transductive methods written plainly: one fit at a time in torch, densities of all images, a dense graph.

As `papers_way.py`, of whose `Task` each function takes one.
"""

# ruff: noqa: D103

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import normalize

Tensor = torch.Tensor
ITSELF = 1 - 2e-6


def nearest(rows: Tensor, pool: Tensor, k: int) -> Tensor:
    """Cosines to the k nearest other images of the pool, 0 elsewhere: (n, M)."""
    cosines = rows @ pool.T
    cosines[cosines > ITSELF] = -2
    found = torch.zeros_like(cosines)
    top = cosines.topk(min(k, len(pool)), dim=1)
    return found.scatter_(1, top.indices, top.values.clamp(min=0))


def unit_rows(task: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return tuple(normalize(a.double(), dim=-1) for a in (task.x, task.unlabelled, task.queries, task.t))


def transclip(task: Any) -> Tensor:
    x, u, queries, t = unit_rows(task)
    width, gamma, lam = x.shape[1], 5.0, 0.5
    onehot = task.onehot.double()
    means = onehot.T @ x / task.counts[:, None]
    variance = torch.full((width,), 1 / width, dtype=x.dtype)

    def logits(rows: Tensor) -> Tensor:
        centre = means.mean(dim=0)
        density = rows @ ((means - centre) / variance).T - 0.5 * ((means**2 - centre**2) / variance).sum(
            dim=1
        )
        return lam * task.s * rows @ t.T + density

    if not len(u):
        return logits(queries)
    z, graph = (task.s * u @ t.T).softmax(dim=1), nearest(u, u, 3)
    for _ in range(10):
        fixed = logits(u)
        for _ in range(5):
            z = (fixed + graph @ z).softmax(dim=1)
        mass = torch.cat([gamma * onehot / len(x), z / len(u)])
        rows = torch.cat([x, u])
        means = mass.T @ rows / mass.sum(dim=0)[:, None]
        variance = (mass[:, :, None] * (rows[:, None] - means) ** 2).sum(dim=(0, 1)) / (gamma + 1)
    return logits(queries) + nearest(queries, u, 3) @ z


def stata(task: Any) -> Tensor:
    x, u, queries, t = unit_rows(task)
    onehot = task.onehot.double()
    seen = u if len(u) else x
    answers = (task.s * seen @ t.T).softmax(dim=1)
    anchor = (answers[:, :, None] * (seen[:, None] - t) ** 2).sum(dim=0) / answers.sum(dim=0)[:, None]
    z, graph = answers[: len(u)], nearest(u, u, 3) if len(u) else None
    means, variances = t, anchor

    def logits(rows: Tensor) -> Tensor:
        density = (rows[:, None] - means) ** 2 / variances + variances.log()
        return task.s * rows @ t.T - 0.5 * density.sum(dim=2)

    for _ in range(10):
        mass, rows = torch.cat([onehot, z]), torch.cat([x, u])
        n = mass.sum(dim=0)[:, None] + 1
        means = (mass.T @ rows + t) / n
        spread = (mass[:, :, None] * (rows[:, None] - means) ** 2).sum(dim=0)
        variances = (spread + anchor + (t - means) ** 2) / n
        if graph is None:
            return logits(queries)
        fixed = logits(u)
        for _ in range(5):
            z = (fixed + graph @ z).softmax(dim=1)
    return logits(queries) + nearest(queries, u, 3) @ z


def zlap(task: Any) -> Tensor:
    x, u, queries, _ = unit_rows(task)
    nodes = normalize(task.t + task.s * (task.onehot.T @ task.x), dim=-1).double()
    n_classes, k = task.n_classes, 5

    def to_nodes(rows: Tensor) -> Tensor:
        cosines = rows @ nodes.T
        top = cosines.topk(min(k, n_classes), dim=1)
        return torch.zeros_like(cosines).scatter_(1, top.indices, top.values.clamp(min=0) ** 5)

    if not len(u):
        return to_nodes(queries).clamp(min=1e-12).log()
    size = n_classes + len(u)
    edges = torch.zeros((size, size), dtype=x.dtype)
    edges[n_classes:, :n_classes], edges[n_classes:, n_classes:] = to_nodes(u), nearest(u, u, k)
    edges = edges + edges.T
    roots = edges.sum(dim=1).sqrt()
    edges = edges / roots / roots[:, None]
    z = torch.linalg.solve(torch.eye(size) - 0.3 * edges, torch.eye(size, n_classes).double())
    found = to_nodes(queries) @ z[:n_classes] + nearest(queries, u, k) @ z[n_classes:]
    cosines, place = (queries @ u.T).max(dim=1)
    found[cosines > ITSELF] = z[n_classes:][place[cosines > ITSELF]]
    return found.clamp(min=1e-12).log()


def em_dirichlet(task: Any) -> Tensor:
    x, u, queries, t = unit_rows(task)
    shots, free, asked = ((30 * rows @ t.T).log_softmax(dim=1) for rows in (x, u, queries))
    onehot, z = task.onehot.double(), free.exp()
    alpha = torch.ones((task.n_classes, task.n_classes), dtype=x.dtype)
    log_shares = torch.zeros(task.n_classes, dtype=x.dtype)

    def logits(rows: Tensor) -> Tensor:
        return rows @ (alpha - 1).T + alpha.sum(dim=1).lgamma() - alpha.lgamma().sum(dim=1) + log_shares

    for _ in range(20):
        sums, n = onehot.T @ shots + z.T @ free, onehot.sum(dim=0) + z.sum(dim=0)
        if not len(u):
            sums, n = sums - torch.tensor(float(task.n_classes)).log(), n + 1
        means = sums / n[:, None]
        for _ in range(100):
            slope = (alpha + 1).digamma()
            curvature = 2 * (slope * alpha - (alpha + 1).lgamma()) / alpha**2
            linear = slope - alpha.sum(dim=1, keepdim=True).digamma() - means - curvature * alpha
            alpha = ((linear**2 + 4 * curvature).sqrt() - linear) / (2 * curvature)
        if len(u):
            log_shares = z.mean(dim=0).clamp(min=1e-12).log()
            z = logits(free).softmax(dim=1)
    return logits(asked)


METHODS: dict[str, Callable[[Any], Tensor]] = {
    "transclip": transclip,
    "stata": stata,
    "zlap": zlap,
    "em-dirichlet": em_dirichlet,
}
