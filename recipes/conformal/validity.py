"""Do sets hold the true class as often as they say? Two real clinics, 200 random divisions of each, as Markdown.

    python recipes/conformal/validity.py [--divisions 200] [--alpha 0.1] [--rows 80]

Some of each clinic's patients, drawn at random, calibrate (and are fitted on), all others are tested; features are
the mini model's, from the cache. Needs ../shared/data.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np

from fewshot_flair import (
    FeatureBank,
    Manifest,
    TextPrototypes,
    create_adapter,
    create_conformal,
    load_encoder,
)
from fewshot_flair.bank import extract
from fewshot_flair.evaluation.set_figures import score_sets
from fewshot_flair.text.prompts import described, text_prototypes

ROOT = Path(__file__).resolve().parents[2]
CLINICS = ("dr-clinic", "idrid")
METHODS = {
    "`split`, zero-shot (the papers' scp)": ("split", "zero-shot"),
    "`conf-ot`, zero-shot": ("conf-ot", "zero-shot"),
    "`split`, ss-text": ("split", "ss-text"),
    "`mondrian`, ss-text": ("mondrian", "ss-text"),
    "`cross`, ss-text": ("cross", "ss-text"),
    "`full`, ss-text (the papers' fca)": ("full", "ss-text"),
    "**the mistake**: ss-text calibrated on the rows it was fitted on (adapt+scp)": ("prefit", "ss-text"),
}


def clinic(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, TextPrototypes]:
    """Features, labels, patients (a photograph without one is its own) and text prototypes of a clinic."""
    path = ROOT.parent / "shared" / "data" / name / "manifest.csv"
    if not path.is_file():
        raise SystemExit(f"no {path}: the table is made from its photographs")
    manifest, encoder = Manifest.read(path), load_encoder("mini")
    bank = FeatureBank.open(None, encoder)
    done = extract([manifest], encoder, bank)
    frame = manifest.frame
    X = bank.read([done.keys[str(p)] for p in frame["path"]], "embedding")
    own = [patient or image for patient, image in zip(frame["patient_id"], frame["image"], strict=True)]
    text = text_prototypes(encoder, bank, described(manifest.classes, "expert"))
    return X, manifest.y, np.unique(own, return_inverse=True)[1], text


def sets_of(method: str, adapter_name: str, text: TextPrototypes, alpha: float, X, y, patients, new):
    """Sets of the new rows, and how many rows they were calibrated on."""
    adapter = create_adapter(adapter_name, text=text)
    settings = {"alpha": alpha}
    if method == "prefit":
        method, adapter, settings = "split", adapter.fit(X, y), {"alpha": alpha, "prefit": True}
    made = create_conformal(method, adapter, **settings).fit(X, y, groups=patients)
    return made.predict_set(new), made.n_calibration_


def main() -> None:
    """Print a table a clinic."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--divisions", type=int, default=200)
    parser.add_argument("--alpha", type=float, default=0.1)
    parser.add_argument("--rows", type=int, default=80, help="rows that are drawn, about, by whole patients")
    options = parser.parse_args()
    warnings.simplefilter(
        "ignore", RuntimeWarning
    )  # of rare classes and of the mistake, told below the table
    for name in CLINICS:
        X, y, patients, text = clinic(name)
        n_patients = patients.max() + 1
        drawn = round(options.rows * n_patients / len(y))
        print(
            f"\n**{name}**: {len(y)} photographs of {n_patients} patients. {drawn} patients drawn for fitting and"
        )
        print(
            f"calibration, the others tested; {options.divisions} draws, alpha {options.alpha:g}, score lac.\n"
        )
        print("| method | calibrated on | coverage | 95 % of the mean | expected | set size | class gap |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        for label, (method, adapter) in METHODS.items():
            found: dict[str, list[float]] = {}
            counts = []
            for seed in range(options.divisions):
                known = (np.random.default_rng(seed).permutation(n_patients) < drawn)[patients]
                sets, n = sets_of(
                    method, adapter, text, options.alpha, X[known], y[known], patients[known], X[~known]
                )
                for key, value in score_sets(sets, y[~known], options.alpha).items():
                    found.setdefault(key, []).append(float(value))
                counts.append(n)
            covered, n = np.array(found["coverage"]), round(np.mean(counts))
            around = 1.96 * covered.std(ddof=1) / np.sqrt(len(covered))
            exact = ""
            if method == "split":
                # mean of the beta-binomial that the coverage of n exchangeable rows follows
                exact = f"{np.mean([np.ceil((k + 1) * (1 - options.alpha) - 1e-9) / (k + 1) for k in counts]):.3f}"
            gap, size = np.mean(found["class_coverage_gap"]), np.mean(found["set_size"])
            print(
                f"| {label} | {n} | {covered.mean():.3f} | {covered.mean() - around:.3f} to "
                f"{covered.mean() + around:.3f} | {exact} | {size:.2f} | {gap:.2f} |"
            )


if __name__ == "__main__":
    main()
