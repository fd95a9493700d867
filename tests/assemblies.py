"""Small assemblies of rendered photographs for the tests of pre-training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from published_sets import lay

SMALL = """
[start]
vision = "nothing"
text = "nothing"
embedding = 16
vision_size = { block = "basic", depths = [1, 1], widths = [8, 16] }
text_size = { hidden_size = 16, layers = 2, heads = 2, intermediate_size = 16, dropout = 0.1 }

[recipe]
image_size = 32
batch_size = 8
epochs = 2
"""
SETS = """
[[sets]]
name = "one"
manifest = "one.csv"
category_columns = ["categories"]
concepts = { "MH" = "Media-Haze", "unsure" = "" }

[[sets]]
name = "two"
manifest = "two/table.csv"
category_columns = ["dr", "drusen"]
weight = 1.5
[sets.concepts]
"dr=0" = "no diabetic retinopathy"
"dr=2" = ["moderate diabetic retinopathy", "microaneurysms"]

[[held_out]]
name = "clinic"
manifest = "held.csv"
"""


def lay_assembly(folder: Path, text: str = "") -> Path:
    """Two sets of photographs, one held out, and the assembly's file.

    The first set has lists of categories, the second a column of grades and one of 0 and 1. One photograph of the
    second is one of the first; one of the first is held out.
    """
    one = [f"one/{i}.jpg" for i in range(10)]
    two = [f"two/{i}.png" for i in range(8)]
    held = [f"held/{i}.jpg" for i in range(6)]
    lay(folder, [*one, *two, *held])
    (folder / "two" / "7.png").write_bytes((folder / "one" / "1.jpg").read_bytes())
    (folder / "held" / "5.jpg").write_bytes((folder / "one" / "0.jpg").read_bytes())
    cells = ["['MH', 'glaucoma']", "['glaucoma']", "['unsure']", "['zebra eye']"]
    _table(
        folder / "one.csv",
        ["image,categories,split"],
        [f'{n},"{cells[i % 4]}",train' for i, n in enumerate(one)],
    )
    rows = [f"{Path(n).name},{2 * (i % 2)},{int(i % 3 == 0)}" for i, n in enumerate(two)]
    _table(folder / "two" / "table.csv", ["image,dr,drusen"], rows)
    rows = [f"{n},{'glaucoma' if i % 2 else 'drusens'}" for i, n in enumerate(held)]
    _table(folder / "held.csv", ["image,label"], rows)
    path = folder / "assembly.toml"
    path.write_text((text or SMALL) + SETS)
    return path


def _table(path: Path, head: list[str], rows: list[str]) -> None:
    path.write_text("\n".join([*head, *rows]) + "\n")


def weights(folder: Path) -> dict[str, np.ndarray]:
    """The tensors of a trained model."""
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")
