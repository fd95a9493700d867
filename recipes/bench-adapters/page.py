"""Write docs/adapters.md: what each adapter needs, costs, and gave on two clinics. Run by ``make adapters-page``.

Measures with the command line itself (features are cached), then writes the page from what it left; clinics
that are not there keep the numbers measured before.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, stdev

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MEASURED = HERE / "results" / "measured.json"
TRANSDUCTIVE = ROOT / "recipes" / "transductive" / "results" / "page.md"
SHOTS, SEEDS, UNLABELLED = (1, 4, 16), 20, 60


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default="mini")
    parser.add_argument(
        "--dr-clinic", type=Path, default=ROOT.parent / "shared" / "data" / "dr-clinic" / "manifest.csv"
    )
    parser.add_argument("--no-measuring", action="store_true", help="only write the page anew")
    parser.add_argument("--adapter", action="append", help="measure these only; others keep their numbers")
    parser.add_argument(
        "--no-times", action="store_true", help="leave times out, as on a machine that is busy"
    )
    return parser.parse_args()


def measure(
    encoder: str, manifest: Path | None, names: list[str], *, times: bool
) -> dict[str, dict[str, list[float]]]:
    """Mean and 95 % half-width of balanced accuracy at each number of shots, and milliseconds a fit."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-c", "from fewshot_flair.cli import main; main()", "adapt", "--json"]
        command += [
            "--encoder",
            encoder,
            "--scenario",
            "realistic",
            "--seeds",
            str(SEEDS),
            "--out",
            f"{out}/run",
        ]
        command += ["--shots", ",".join(map(str, SHOTS)), "--unlabelled", str(UNLABELLED)]
        command += [] if manifest is None else ["--data", str(manifest)]
        command += [part for name in names for part in ("--adapter", name)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with Path(out, "run", "results.csv").open() as lines:
            rows = list(csv.DictReader(lines))
        with Path(out, "run", "fit_seconds.csv").open() as lines:
            seconds = list(csv.DictReader(lines))
    found: dict[str, dict[str, list[float]]] = {}
    for name in names:
        cells = found.setdefault(name, {})
        for shots in SHOTS:
            own, costs = (
                [r for r in part if r["adapter"] == name and int(r["shots"]) == shots]
                for part in (rows, seconds)
            )
            scores = [100 * float(r["balanced_accuracy"]) for r in own]
            cells[str(shots)] = [mean(scores), 2.093 * stdev(scores) / len(scores) ** 0.5]
        if times:
            cells["milliseconds"] = [1e3 * mean(float(r["fit_seconds"]) for r in costs)]
    return found


def table(measured: dict) -> str:
    """The main table, in Markdown."""
    from fewshot_flair import list_adapters

    clinics = [name for name in ("demo clinic", "dr-clinic") if name in measured]
    head = ["adapter", "what it does", "text", "unlabelled", "training", "features", "ms a fit"]
    head += [f"{clinic}, {shots}" for clinic in clinics for shots in SHOTS]
    lines = [head, ["---"] * 6 + ["---:"] * (len(head) - 6)]
    for info in list_adapters():
        if info.features == "local":  # docs/local.md has them
            continue
        needs = "tower" if info.needs_tower else "needs" if info.needs_text else "–"
        cells = [f"`{info.name}`", info.summary, needs, "uses" if info.uses_unlabeled else "–"]
        cells += ["none" if info.training_free else "yes", info.features]
        got = [measured[clinic].get(info.name) for clinic in clinics]
        cost = (got[-1] or {}).get("milliseconds") if got else None
        cells.append(f"{cost[0]:.2g}" if cost else "–")
        for own in got:
            cells += [f"{own[str(k)][0]:.1f} ± {own[str(k)][1]:.1f}" if own else "–" for k in SHOTS]
        lines.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def parameters() -> str:
    """Every adapter's parameters and paper, in Markdown."""
    from fewshot_flair import list_adapters

    lines = []
    for info in list_adapters():
        own = ", ".join(f"`{k}={v!r}`" for k, v in info.parameters.items() if k != "device")
        lines.append(f"- **{info.name}** {own or '(none)'}. {info.paper}")
    return "\n".join(lines)


def best(measured: dict) -> str:
    """For each clinic and number of shots the adapters whose interval reaches the best's, in Markdown."""
    lines = []
    for clinic in ("demo clinic", "dr-clinic"):
        for shots in SHOTS if clinic in measured else ():
            cells = {name: own[str(shots)] for name, own in measured[clinic].items()}
            ranked = sorted(cells, key=lambda name: -cells[name][0])
            floor = cells[ranked[0]][0] - cells[ranked[0]][1]
            near = [f"`{name}`" for name in ranked if sum(cells[name]) >= floor]
            shown = ", ".join(near[:6]) + (f" and {len(near) - 6} more" if len(near) > 6 else "")
            lines.append(f"  - {clinic}, {shots} shot{'' if shots == 1 else 's'}: {shown}.")
    return "\n".join(lines)


def main() -> None:
    """Measure and write."""
    from fewshot_flair import list_adapters

    args = arguments()
    measured = json.loads(MEASURED.read_text()) if MEASURED.is_file() else {}
    if not args.no_measuring:
        clinics: dict[str, Path | None] = {"demo clinic": None}
        if args.dr_clinic.is_file():
            clinics["dr-clinic"] = args.dr_clinic
        whole = [info for info in list_adapters() if not info.needs_tower and info.features != "local"]
        names = args.adapter or [info.name for info in whole]
        for clinic, manifest in clinics.items():
            print(f"measuring on {clinic}", flush=True)
            kept = measured.get(clinic, {}) if args.adapter else {}
            measured[clinic] = kept | measure(args.encoder, manifest, names, times=not args.no_times)
        if not args.adapter:
            measured["setting"] = {
                "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
                "encoder": args.encoder,
                "machine": f"{os.cpu_count()} cores",
            }
        MEASURED.parent.mkdir(exist_ok=True)
        MEASURED.write_text(json.dumps(measured, indent=1) + "\n")
    template = (HERE / "page.template.md").read_text()
    filled = {
        **measured["setting"],
        "table": table(measured),
        "parameters": parameters(),
        "best": best(measured),
        "seeds": SEEDS,
        "most": SHOTS[-1],
        "unlabelled": UNLABELLED,
        "transductive": TRANSDUCTIVE.read_text().strip(),
    }
    for key, value in filled.items():
        template = template.replace(f"{{{key}}}", str(value))
    (ROOT / "docs" / "adapters.md").write_text(template)
    print("written: docs/adapters.md")


if __name__ == "__main__":
    main()
