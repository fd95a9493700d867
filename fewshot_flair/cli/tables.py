"""How results look on a terminal, and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.text import Text

from fewshot_flair.cli.terminal import plain, plain_table, under_title, warn
from fewshot_flair.experiment.grid import draws_text, n_draws, shots_text
from fewshot_flair.experiment.results import by_draw
from fewshot_flair.experiment.sets import NOTE, by_method
from fewshot_flair.report.wording import bold_means, percent_range, percentage, setting_of, with_interval
from fewshot_flair.words import counted

if TYPE_CHECKING:
    from rich.table import Table

    from fewshot_flair.experiment.results import CellResult, StudyResults
    from fewshot_flair.report.summary import Block, Entry

__all__ = ["adaptation", "as_json", "elsewhere", "study"]

SHORT_NAME = 8
"""Class names of at most so many characters head the columns of a confusion matrix themselves."""


def adaptation(to: Console, results: StudyResults) -> None:
    """Few-shot figures, then what the saved adapters do, then what `predict`'s own gets wrong."""
    shots = sorted(results.rows["shots"].unique())
    for k in shots:
        _few_shot_table(to, results, int(k))
    if len(shots) > 1:
        _curve_table(to, results)
    for note in dict.fromkeys(note for cell in results.cells for note in cell.notes):
        warn(to, note)
    _sets_table(to, results)
    _saved_table(to, results)
    record = results.record
    if record.left_out:
        warn(to, f"left out: {'; '.join(record.left_out)}")
    if record.default_adapter is None:
        return
    to.print(
        f"predict takes [bold]{plain(record.default_adapter)}[/]: {plain(record.default_rule)}",
        soft_wrap=True,
    )
    if record.verdict:
        to.print(Text(record.verdict, style="bold"), soft_wrap=True)
    to.print()
    _recall_table(to, results)
    _confusion_table(to, results)


def study(to: Console, results: StudyResults) -> None:
    """A study's main tables: balanced accuracy by shots; green is best, bold is not told from it."""
    from fewshot_flair.report.summary import blocks

    draws = n_draws(results.rows)
    found = blocks(results)
    results, everywhere = results.home, results
    over = ""
    unbounded = to.options.update(width=10_000)
    for block in found:
        for scenario in dict.fromkeys(name for name, _ in block.columns):
            table = _study_table(block, scenario, intervals=True)
            if to.measure(table, options=unbounded).maximum > to.width:
                table = _study_table(block, scenario, intervals=False)
            elif draws > 1:
                over = f"±: 95 % interval over {draws_text(results.rows)}; "
            under_title(to, f"{block.title}, {scenario}: balanced accuracy, %, by shots", table)
    said = bold_means(draws, max(len(block.adapters) for block in found))
    to.print(f"[dim]{over}green: the best mean of its column; {plain(said)}[/]", soft_wrap=True)
    _sets_table(to, results)
    for note in dict.fromkeys(n for cell in results.cells for n in cell.notes if n.startswith(NOTE)):
        warn(to, note)
    if results.record.left_out:
        warn(to, f"left out: {'; '.join(results.record.left_out)}")
    if everywhere is not results:
        elsewhere(to, everywhere)


def elsewhere(to: Console, results: StudyResults) -> None:
    """Balanced accuracy on each test side, means over draws, and the cost: a table for each setting."""
    from fewshot_flair.experiment.grid import SETTING

    groups: dict[tuple[Any, ...], dict[str, dict[str, CellResult]]] = {}
    for cell in results.cells:
        setting = tuple(cell.names[name] for name in SETTING if name != "test")
        groups.setdefault(setting, {}).setdefault(cell.names["test"], {})[cell.names["adapter"]] = cell
    for sides in groups.values():
        table = plain_table()
        table.add_column("adapter", overflow="fold")
        for name in (*sides, "seconds", "trained"):
            table.add_column(plain(name), justify="right", overflow="fold")
        home = next(iter(sides.values()))
        for label, cell in home.items():
            means = [_interval(cells[label], "balanced_accuracy")[0] for cells in sides.values()]
            cost = (f"{cell.fit_seconds:.3g}", f"{cell.trainable_parameters:,}")
            table.add_row(plain(label), *map(percentage, means), *cost)
        names = cell.names
        title = (
            f"{names['data']}, {names['encoder']} encoder, {shots_text(names['shots'])}, {names['scenario']}"
        )
        under_title(to, f"{title}: balanced accuracy, %, tested on", table)
    for note in dict.fromkeys(note for cell in results.cells if cell.tuned for note in cell.notes):
        warn(to, note)


def _study_table(block: Block, scenario: str, *, intervals: bool) -> Table:
    table = plain_table()
    table.add_column("adapter", overflow="fold")
    columns = [column for column in block.columns if column[0] == scenario]
    for _, shots in columns:
        table.add_column(shots_text(int(shots), alone=True), justify="right")
    for adapter in block.adapters:
        entries = [block.entries[adapter, column] for column in columns]
        table.add_row(plain(adapter), *(_entry(entry, intervals) for entry in entries))
    return table


def _entry(entry: Entry, interval: bool) -> Text:
    style = "bold green" if entry.best else "bold" if entry.tied else ""
    ends = (entry.low, entry.high) if interval else (entry.mean, entry.mean)
    return Text(with_interval(entry.mean, *ends), style=style)


def _few_shot_table(to: Console, results: StudyResults, shots: int) -> None:
    cells = [cell for cell in results.cells if cell.names["shots"] == shots]
    told = results.record.clinics[0]
    table = plain_table()
    table.add_column("adapter", overflow="fold")
    table.add_column("balanced\naccuracy\n(95 % over\nseeds)", justify="right")
    table.add_column(f"95 % over\ntest\n{'patients' if told.names_patients else 'images'}", justify="right")
    table.add_column("accuracy", justify="right")
    ordinal = any(not np.isnan(row["quadratic_kappa"]) for cell in cells for row in cell.rows)
    if ordinal:
        table.add_column("quadratic\nkappa", justify="right")
    table.add_column("ms a\nfit", justify="right")
    for cell in cells:
        kappa = _interval(cell, "quadratic_kappa")[0]
        row = [
            plain(cell.names["adapter"]),
            with_interval(*_interval(cell, "balanced_accuracy")),
            percent_range(*cell.patient_interval),
            percentage(_interval(cell, "accuracy")[0]),
            *([("–" if np.isnan(kappa) else f"{kappa:.2f}")] if ordinal else []),
            f"{1000 * cell.fit_seconds:.2f}",
        ]
        table.add_row(*row, style="bold" if cell.names["adapter"] == results.record.default_adapter else None)
    counts = np.array([[row[f"support_{name}"] for name in cells[0].classes] for row in cells[0].rows])
    each = " ".join(
        str(low) if low == high else f"{low}–{high}"
        for low, high in zip(counts.min(axis=0), counts.max(axis=0), strict=True)
    )
    noun = "image" if (counts == 1).all() else "images"
    title = (
        f"{shots_text(shots)}, {cells[0].names['scenario']} scenario: {each} {noun} per class, "
        f"{counted(len(cells[0].rows), 'draw')} (%)"
    )
    under_title(to, title, table)


def _curve_table(to: Console, results: StudyResults) -> None:
    wide = results.rows.pivot_table(
        index="adapter", columns="shots", values="balanced_accuracy", sort=False
    ).sort_index(axis=1)
    table = plain_table()
    table.add_column("adapter", overflow="fold")
    for shots in wide.columns:
        table.add_column(shots_text(int(shots), alone=True), justify="right")
    for label, means in wide.iterrows():
        table.add_row(plain(label), *(percentage(mean) for mean in means))
    under_title(to, "balanced accuracy, %, by shots", table)


def _sets_table(to: Console, results: StudyResults) -> None:
    """Coverage and size of conformal sets, at the most shots."""
    from fewshot_flair.evaluation.set_figures import SET_FIGURES

    k = max(cell.names["shots"] for cell in results.cells)
    made: dict[str, Table] = {}
    for cell in results.cells:
        for method, rows in by_method(cell.sets if cell.names["shots"] == k else []).items():
            table = made.setdefault(setting_of(cell, results.cells), _empty_sets_table())
            means = {key: np.mean([row[key] for row in rows]) for key in SET_FIGURES}
            shown = [f"{means[key]:.2f}" if key == "set_size" else f"{means[key]:.0%}" for key in SET_FIGURES]
            table.add_row(plain(f"{cell.names['adapter']}: {method}"), *shown)
    for setting, table in made.items():
        under_title(to, f"conformal sets, {setting}, mean over the draws (conformal.csv)", table)


def _empty_sets_table() -> Table:
    table = plain_table()
    table.add_column("sets", overflow="fold")
    for column in ("coverage", "classes\na set", "one\nclass", "empty", "class\ngap", "by\npatient"):
        table.add_column(column, justify="right")
    return table


def _saved_table(to: Console, results: StudyResults) -> None:
    from fewshot_flair.report.deciding import aurocs

    record = results.record
    table = plain_table()
    table.add_column("adapter", overflow="fold")
    unit = "patients" if record.clinics[0].names_patients else "images"
    for column in ("cross-\nvalidation", "balanced\naccuracy", f"95 % over\ntest {unit}", "accuracy"):
        table.add_column(column, justify="right")
    areas = aurocs(record)
    for column in ("AUROC\nacross\nfolds", "AUROC") if areas else ():
        table.add_column(column, justify="right")
    for name, saved in record.saved.items():
        table.add_row(
            plain(name),
            percentage(saved.cross_validation),
            percentage(saved.test.balanced_accuracy),
            percent_range(saved.test.low, saved.test.high),
            percentage(saved.test.accuracy),
            *(area.partition(" (")[0] for area in areas.get(name, ())),
            style="bold green" if name == record.default_adapter else None,
        )
    n = record.clinics[0].train.images
    under_title(to, f"the saved adapters, fitted on all {n} training images, on the test rows (%)", table)


def _recall_table(to: Console, results: StudyResults) -> None:
    record = results.record
    name = record.default_adapter or ""
    saved, told = record.saved[name].test, record.clinics[0]
    few = results.rows[
        (results.rows["adapter"] == name) & (results.rows["shots"] == results.rows["shots"].max())
    ]
    shots = shots_text(int(results.rows["shots"].max()))
    table = plain_table()
    table.add_column("class", overflow="fold")
    for column in ("test images", "recall", "specificity", f"recall with\n{shots} (middle\n90 % of draws)"):
        table.add_column(column, justify="right", overflow="fold")
    for label in saved.recall:
        recall = few[f"recall_{label}"].dropna()
        spread = "–" if recall.empty else "{:.0%} to {:.0%}".format(*np.quantile(recall, [0.05, 0.95]))
        table.add_row(
            plain(label),
            str(told.test.counts.get(label, 0)),
            _whole(saved.recall[label]),
            _whole(saved.specificity[label]),
            spread,
        )
    under_title(to, f"what the saved {name} finds", table)


def _confusion_table(to: Console, results: StudyResults) -> None:
    record = results.record
    saved = record.saved[record.default_adapter or ""].test
    classes, confusion = list(saved.recall), np.array(saved.confusion)
    if len(classes) > 10:
        return
    table = plain_table()
    table.add_column("true \\ predicted", overflow="fold")
    short = all(len(name) <= SHORT_NAME for name in classes)
    for number, name in enumerate(classes, 1):
        table.add_column(plain(name) if short else str(number), justify="right")
    for number, (name, row) in enumerate(zip(classes, confusion, strict=True), 1):
        total = row.sum()
        cells = []
        for column, value in enumerate(row, 1):
            share = value / total if total else float("nan")
            style = "bold green" if column == number else ("red" if share >= 0.2 else "dim")
            cells.append(Text("–" if not total else f"{share:.0%}", style=style))
        table.add_row(plain(name if short else f"{number} {name}"), *cells)
    title = f"confusion matrix of the saved {record.default_adapter}: share of each true class predicted as (column)"
    under_title(to, title, table)


def as_json(results: StudyResults, out: Path) -> None:
    """The summary as JSON on standard output."""
    record, told = results.record, results.record.clinics[0]
    summary = {
        "data": told.model_dump(include={"data", "rendered", "split_given", "train", "test", "pool"}),
        "extraction": {"encoded": told.encoded, "from_bank": told.from_bank},
        "skipped": [row.model_dump() for row in told.skipped],
        "remarks": told.remarks,
        "encoder": told.encoder.model_dump(include={"name", "fingerprint_id"}),
        "classes": list(told.train.counts),
        "results": [_summary(cell) for cell in results.cells],
        "saved": {name: saved.model_dump() for name, saved in record.saved.items()},
        "default_adapter": record.default_adapter,
        "default_rule": record.default_rule,
        "verdict": record.verdict,
        "left_out": record.left_out,
        "out": str(out),
    }
    Console(highlight=False).print_json(json.dumps(summary, allow_nan=False, ensure_ascii=False))


def _summary(cell: CellResult) -> dict[str, Any]:
    from fewshot_flair.evaluation import METRICS

    row: dict[str, Any] = {
        **{name: cell.names[name] for name in ("adapter", "shots", "scenario")},
        "seeds": len(cell.rows),
    }
    for key in METRICS:
        row[key] = dict(zip(("mean", "low", "high"), map(_known, _interval(cell, key)), strict=True))
    row["balanced_accuracy_over_patients"] = [_known(end) for end in cell.patient_interval]
    row["recall"] = {name: _known(_interval(cell, f"recall_{name}")[0]) for name in cell.classes}
    row["fit_seconds"] = cell.fit_seconds
    return row


def _interval(cell: CellResult, key: str) -> tuple[float, float, float]:
    from fewshot_flair.evaluation import interval_over_seeds

    return interval_over_seeds(by_draw(cell.rows, key))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def _whole(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"
