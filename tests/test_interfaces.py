"""What others call stays as it is (docs/interfaces.md)."""

from __future__ import annotations

import csv
import inspect
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import fewshot_flair
from fewshot_flair.cli import app

PAGE = Path(__file__).resolve().parents[1] / "docs" / "interfaces.md"
NAMES = [
    "load_encoder",
    "FLAIRModel",
    "Manifest",
    "read_image",
    "ImagePreparation",
    "prepare",
    "import_features",
    "FeatureBank",
    "TextPrototypes",
    "EpisodeSampler",
    "create_adapter",
    "list_adapters",
    "Adapter",
    "register",
    "fit_episodes",
    "save_adapter",
    "load_adapter",
    "Study",
    "run_study",
    "FewshotFlairError",
]
OPTIONS = {
    "adapt": (
        "--data --images --test-on --other-patients --shots --seeds --scenario --adapter --allow-fewer --encoder "
        "--cache --out --json"
    ),
    "predict": "--adapter --cache --out",
    "explain": "--class --query --tiles --method --check --adapter --cache --out",
    "finetune": "--data --test-on --corrupt --method --adapter --shots --seeds --alphas --soup --epochs --folds --save "
    "--encoder --cache --out",
    "study": "--out --cache --no-report",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_are_there_and_on_the_page(name: str) -> None:
    assert getattr(fewshot_flair, name) is not None
    assert name in PAGE.read_text()


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("TextPrototypes", ["classes", "prototypes", "logit_scale", "samples", "sample_classes"]),
        ("EpisodeSampler", ["shots", "scenario", "protocol", "allow_fewer"]),
    ],
)
def test_arguments_keep_their_names_and_places(name: str, parameters: list[str]) -> None:
    found = list(inspect.signature(getattr(fewshot_flair, name)).parameters)
    assert found[: len(parameters)] == parameters


def test_an_adapter_has_what_scikit_learn_and_others_ask_for() -> None:
    assert "X_unlabeled" in inspect.signature(fewshot_flair.Adapter.fit).parameters
    X, y = np.eye(4)[[0, 1, 0, 1]] + 0.1, ["b", "a", "b", "a"]
    fitted = fewshot_flair.create_adapter("ss").fit(X, y)
    for method in ("logits", "decision_function", "predict_proba", "predict"):
        assert len(getattr(fitted, method)(X)) == 4
    assert list(fitted.classes_) == sorted(fitted.columns_)


@pytest.mark.parametrize("command", OPTIONS)
def test_options_are_there(command: str) -> None:
    told = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
    assert [option for option in OPTIONS[command].split() if option not in told] == []


def test_the_folder_of_a_run_and_the_table_of_predict(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["image,label,patient_id,split"]
    for i in range(16):
        pixels = rng.integers(0, 120, (48, 64, 3), np.uint8)
        pixels[..., i % 2] += 100
        Image.fromarray(pixels).save(tmp_path / f"{'=1+' if i == 15 else ''}{i}.png")
        label = "" if i in (2, 3) else ["=healthy", "diseased"][i % 2]
        side = "train" if i < 10 else "test"
        lines.append(f"{'=1+' if i == 15 else ''}{i}.png,{label},P{i // 2},{side}")
    (tmp_path / "clinic.csv").write_text("\n".join(lines))
    out, cache = tmp_path / "out", ["--cache", str(tmp_path / "cache")]
    asked = [
        "adapt",
        "--data",
        str(tmp_path / "clinic.csv"),
        "--shots",
        "2",
        "--seeds",
        "2",
        "--out",
        str(out),
    ]
    done = CliRunner().invoke(app, [*asked, "--adapter", "ss-text-u", "--adapter", "zero-shot", *cache])
    assert done.exit_code == 0, done.output
    assert "2 images without a label are the pool" in done.output

    def rows(name: str) -> list[dict[str, str]]:
        with (out / name).open() as file:
            return list(csv.DictReader(file))

    assert {"adapter", "shots", "scenario", "seed", "balanced_accuracy"} <= set(rows("results.csv")[0])
    assert list(rows("splits.csv")[0])[:4] == ["image", "label", "patient_id", "split"]
    assert [row["split"] for row in rows("splits.csv")].count("pool") == 2
    record = json.loads((out / "run.json").read_text())
    assert record["default_adapter"] in record["saved"]
    tested = rows("test_predictions.csv")
    for name, saved in record["saved"].items():
        mine = [row for row in tested if row["adapter"] == name]
        assert len(mine) == 6
        right = np.array([row["predicted"] == row["label"] for row in mine])
        kinds = np.array([row["label"] for row in mine])
        recalls = [right[kinds == kind].mean() for kind in set(kinds)]
        assert saved["test"]["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert (out / "report.html").is_file()
    assert list((out / "cells").glob("*"))
    table = tmp_path / "predictions.csv"
    photographs = [str(tmp_path / "12.png"), str(tmp_path / "0.png")]
    done = CliRunner().invoke(app, ["predict", str(out), *photographs, "--out", str(table), *cache])
    assert done.exit_code == 0, done.output
    with table.open() as file:
        found = list(csv.DictReader(file))
    assert list(found[0])[:3] == ["image", "predicted", "probability"]
    assert list(found[0])[-1] == "note"
    assert [row["image"] for row in found] == photographs
    assert "was among the training photographs" in found[1]["note"]
    for path in (table, out / "splits.csv", out / "test_predictions.csv", out / "results.csv"):
        assert not any(cell.startswith("=") for line in csv.reader(path.open()) for cell in line)
