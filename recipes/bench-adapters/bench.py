"""How long adapters take, against the papers' way, and how time grows. Run by ``make bench``.

Unit features in clusters stand for photographs (the arithmetic does not look at them): a pool of 100 rows a
class, 700 test rows. A cell is one adapter at one number of shots: fitting 20 seeds and the logits of all test
rows. Both ways are measured in turn in one run, each several times; medians are printed, for one fit.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from pathlib import Path

HERE = Path(__file__).parent
HEADS = ["lp", "lp-cw", "lp-ldam", "clap", "taskres", "cross-modal", "lp++", "lp-text", "tip-adapter-f"]
CLOSED = ["zero-shot", "tip-adapter", "lp++-tf", "ss", "ss-text", "ss-text+", "ss-text-u", "gda", "proker"]
OTHERS = ["logistic", "clip-adapter"]
POOL = ["transclip", "stata", "zlap", "em-dirichlet"]
SHOTS = [1, 2, 4, 8, 16]


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each cell; the median counts")
    parser.add_argument("--theirs", type=int, default=3, help="fits the papers' way a measurement")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of both ways")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder for the table and picture")
    parser.add_argument("--no-growth", action="store_true", help="leave out how time grows")
    return parser.parse_args()


def clinic(width: int, n_classes: int, per_class: int = 100, n_test: int = 700):
    """Pool, labels, test rows and text prototypes."""
    import numpy as np

    from fewshot_flair import TextPrototypes

    rng = np.random.default_rng(0)
    centres = rng.standard_normal((n_classes, width))

    def rows(y, spread):
        x = centres[y] + spread * rng.standard_normal((len(y), width))
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)

    y = np.repeat(np.arange(n_classes), per_class)
    described = np.repeat(np.arange(n_classes), 3)
    samples = rows(described, 2.0)
    means = samples.reshape(n_classes, 3, width).mean(axis=1)
    text = TextPrototypes([f"class {c}" for c in range(n_classes)], means, 3.9, samples, described)
    return rows(y, 2.0), y, rows(rng.integers(0, n_classes, n_test), 2.0), text


def median_ms(measure, repeats: int) -> float:
    """Median milliseconds of calls, after one to warm up."""
    measure()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        measure()
        times.append(1e3 * (time.perf_counter() - began))
    return sorted(times)[len(times) // 2]


def in_torch(text):
    """Text prototypes as the papers' way takes them."""
    import numpy as np
    import torch

    return {
        "prototypes": torch.from_numpy(np.asarray(text.prototypes)),
        "samples": torch.from_numpy(np.asarray(text.samples)),
        "sample_classes": torch.from_numpy(np.asarray(text.sample_classes)),
        "scale": torch.tensor(text.scale),
    }


def in_use(args: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """Milliseconds, theirs and ours, of whole calls as programs make them, validation and draws included."""
    import numpy as np
    import torch
    from papers_way import METHODS, Task

    from fewshot_flair import EpisodeSampler, create_adapter, fit_episodes

    def both(title, theirs, ours, repeats=args.repeats):
        times[title] = median_ms(theirs, repeats), median_ms(ours, repeats)

    def their_draw(seed):
        parts = []
        for c in range(5):
            rows = np.flatnonzero(y == c)
            np.random.RandomState(seed).shuffle(rows)
            parts.append(rows[:16])
        return np.concatenate(parts)

    def theirs(name, rows):
        METHODS[name](Task(x[rows], labels[rows], q, words, x[:0])).argmax(dim=-1)

    times: dict[str, tuple[float, float]] = {}
    X, y, queries, text = clinic(512, 5, per_class=279)
    x, labels, q, words = torch.from_numpy(X), torch.from_numpy(y), torch.from_numpy(queries), in_torch(text)
    sampler, rows = EpisodeSampler(16, protocol="sstext-2025"), their_draw(0)
    for name in ("zero-shot", "ss-text", "ss-text+", "tip-adapter"):
        adapter = create_adapter(name, text=text)
        both(
            f"{name}: one fit and predict",
            lambda name=name: theirs(name, rows),
            lambda adapter=adapter: adapter.fit(X[rows], y[rows]).predict(queries),
        )
        both(
            f"{name}: 20 draws, fits, predictions",
            lambda name=name: [theirs(name, their_draw(seed)) for seed in range(20)],
            lambda adapter=adapter: fit_episodes(adapter, X, y, sampler.sample_many(y, range(20))).predict(
                queries
            ),
        )
    probe, everything = create_adapter("lp", text=text), np.arange(len(y))
    both("lp: 1,395 shots", lambda: theirs("lp", everything), lambda: probe.fit(X, y).predict(queries), 3)
    for title, (a, b) in times.items():
        print(f"{title:40s} {a:8.2f} ms / {b:7.2f} ms = {a / b:.1f}×")
    return times


def compare(args: argparse.Namespace) -> dict[str, dict[int, tuple[float, float]]]:
    """Milliseconds a fit, theirs and ours, of every adapter and number of shots."""
    import torch
    import transductive_way
    from papers_way import METHODS, Task

    from fewshot_flair import EpisodeSampler, create_adapter, fit_episodes

    methods = METHODS | transductive_way.METHODS
    X, y, queries, text = clinic(512, 5)
    x, labels, q = torch.from_numpy(X), torch.from_numpy(y), torch.from_numpy(queries)
    words = in_torch(text)
    times: dict[str, dict[int, tuple[float, float]]] = {}
    for name in HEADS + CLOSED + OTHERS + POOL:
        adapter = create_adapter(name, text=text)
        for shots in SHOTS:
            episodes = EpisodeSampler(shots).sample_many(y, range(20), unlabeled=60)
            pairs = list(zip(episodes.indices, episodes.unlabeled, strict=True))[: args.theirs]

            def theirs(name=name, pairs=pairs):
                for rows, free in pairs:
                    methods[name](Task(x[rows], labels[rows], q, words, x[free]))

            def ours(adapter=adapter, episodes=episodes):
                fit_episodes(adapter, X, y, episodes).logits(queries)

            times.setdefault(name, {})[shots] = (
                median_ms(theirs, args.repeats) / len(pairs),
                median_ms(ours, args.repeats) / 20,
            )
    return times


def show(times: dict[str, dict[int, tuple[float, float]]]) -> dict[str, float]:
    """Print ratios; give those of the groups."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="milliseconds a fit with 700 test logits, papers' way / ours = ratio", box=None)
    for column in ("adapter", *(f"{shots} shots" for shots in SHOTS), "all shots"):
        table.add_column(column, justify="left" if column == "adapter" else "right")
    for name, cells in times.items():
        both = [sum(cell[i] for cell in cells.values()) for i in (0, 1)]
        shown = [f"{a:.2f}/{b:.3f}={a / b:.0f}×" for a, b in cells.values()]
        table.add_row(name, *shown, f"[bold]{both[0] / both[1]:.1f}×[/]")
    console = Console(width=150)
    console.print(table)
    groups = {
        "gradient-trained linear heads": HEADS,
        "closed forms": CLOSED,
        "logistic": ["logistic"],
        "clip-adapter": ["clip-adapter"],
        "whole grid without clip-adapter": HEADS + CLOSED + ["logistic"],
        "whole grid": HEADS + CLOSED + OTHERS,
    }
    ratios = {}
    for group, names in groups.items():
        sums = [sum(cell[i] for name in names for cell in times[name].values()) for i in (0, 1)]
        ratios[group] = sums[0] / sums[1]
        console.print(f"{group:34s} {sums[0]:9.1f} ms / {sums[1]:8.2f} ms = [bold]{ratios[group]:.1f}×[/]")
    return ratios


def rate() -> float:
    """Rate of this machine's float32 matrix products on one thread, in GFLOP/s."""
    import numpy as np

    from fewshot_flair.adapters.threads import one_thread

    a = np.random.default_rng(0).standard_normal((1024, 1024), dtype=np.float32)
    with one_thread():
        return 2 * 1024**3 / median_ms(lambda: a @ a, 9) / 1e6


def growth(repeats: int) -> dict[str, dict[str, dict[int, float]]]:
    """Milliseconds a fit (without test rows) as one of D, C, shots and seeds grows from D = 512, C = 5, 16, 20."""
    from fewshot_flair import EpisodeSampler, create_adapter, fit_episodes

    axes = {"width D": [512, 1024, 2048], "classes C": [2, 5, 10, 20, 40], "shots": [1, 2, 4, 8, 16, 32]}
    axes["seeds"] = [1, 5, 20, 50, 100]
    grown: dict[str, dict[str, dict[int, float]]] = {}
    for axis, values in axes.items():
        for value in values:
            setting = {"width D": 512, "classes C": 5, "shots": 16, "seeds": 20} | {axis: value}
            X, y, _, text = clinic(setting["width D"], setting["classes C"])
            episodes = EpisodeSampler(setting["shots"]).sample_many(y, range(setting["seeds"]))
            for name in ("ss-text", "tip-adapter", "gda", "logistic", "lp", "clip-adapter"):
                adapter = create_adapter(
                    name, text=text, **({"beta": 5.5, "lam": 1.0} if name == "proker" else {})
                )

                def fit(adapter=adapter, X=X, y=y, episodes=episodes):
                    fit_episodes(adapter, X, y, episodes)

                few = 1 if name == "clip-adapter" else repeats
                cell = median_ms(fit, few) / setting["seeds"]
                grown.setdefault(axis, {}).setdefault(name, {})[value] = cell
    return grown


def draw(grown: dict[str, dict[str, dict[int, float]]], path: Path) -> None:
    """The picture of `growth`."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(grown), figsize=(15, 4), sharey=True, layout="constrained")
    for ax, (axis, lines) in zip(axes, grown.items(), strict=True):
        for name, cells in lines.items():
            ax.plot(list(cells), list(cells.values()), marker="o", markersize=3, label=name)
        ax.set(xscale="log", yscale="log", xlabel=axis)
        ax.set_xticks(list(cells), [str(v) for v in cells])
        ax.minorticks_off()
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("milliseconds a fit")
    axes[0].legend(fontsize="small")
    figure.suptitle("Time of a fit, from D = 512, C = 5, 16 shots, 20 seeds at once")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, print, and write results.json and growth.png."""
    args = arguments()
    for library in ("OMP", "OPENBLAS", "MKL"):  # before NumPy and torch are imported
        os.environ[f"{library}_NUM_THREADS"] = str(args.threads)
    warnings.filterwarnings("ignore", message="gda: shots do not vary")
    args.out.mkdir(parents=True, exist_ok=True)
    import torch

    torch.set_num_threads(args.threads)
    whole_calls = in_use(args)
    times = compare(args)
    ratios = show(times)
    gflops = rate()
    # 700 × D by D × (20 · C) for 20 fits at once
    floor = 2 * 700 * 512 * 5 / gflops / 1e6
    print(
        f"\nmatrix products: {gflops:.0f} GFLOP/s on one thread; 700 test logits alone take {floor:.3f} ms a fit"
    )
    results = {"threads": args.threads, "ratios": ratios, "gflops": gflops, "milliseconds": times}
    results["whole_calls"] = whole_calls
    if not args.no_growth:
        results["growth"] = growth(args.repeats)
        draw(results["growth"], args.out / "growth.png")
    (args.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    print(f"written: {args.out}")


if __name__ == "__main__":
    main()
