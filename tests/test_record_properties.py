"""Files that a run left, or a user wrote, with anything in them: read as they were, or refused in our words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted import results_of, study_of
from properties import examples

from fewshot_flair.errors import FewshotFlairError
from fewshot_flair.experiment.design import Study
from fewshot_flair.experiment.results import StudyResults
from fewshot_flair.models import load_adapter, save_adapter
from fewshot_flair.models.refit import refit

ENTRIES = st.dictionaries(
    st.sampled_from(
        [
            "name",
            "question",
            "adapters",
            "shots",
            "seeds",
            "scenarios",
            "encoders",
            "prior",
            "label_noise",
            "x y",
        ]
    ),
    st.recursive(
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(),
            st.text(max_size=8),
            st.sampled_from(["all", "lp", "lp:alpha=1", "standard", "../x"]),
        ),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(st.sampled_from(["name", "kind", "label", "load", "params"]), inner, max_size=3),
        ),
        max_leaves=8,
    ),
)
CHANGES = st.lists(
    st.tuples(st.integers(0, 2**31), st.integers(0, 255), st.integers(0, 3)), min_size=1, max_size=4
)


@examples()
@given(ENTRIES)
def test_any_entries_make_a_study_or_are_refused(entries: dict) -> None:
    sound = {
        "name": "s",
        "data": [{"name": "d", "manifest": "m.csv"}],
        "adapters": ["lp"],
        "shots": [1],
        "seeds": 2,
    }
    try:
        study = Study.from_dict(sound | entries)
    except FewshotFlairError:
        return
    assert 1 <= len(study.seeds) <= 100_000
    assert min(study.shots) >= 1


@pytest.fixture(scope="module")
def kept(planted_clinic, tmp_path_factory) -> dict[str, object]:
    """A run with one cell and a saved adapter, what is read of them, and the bytes of their files."""
    out = tmp_path_factory.mktemp("kept")
    study = study_of(adapters=["lp"], shots=[1], seeds=2)
    results = results_of(study, out, planted_clinic)
    save_adapter(refit(planted_clinic, study.adapters[0]), out / "adapters" / "lp")
    (cell,) = (out / "cells").iterdir()
    paths = [out / "run.json", cell, *sorted((out / "adapters" / "lp").iterdir())]
    adapter, _ = load_adapter(out / "adapters" / "lp")
    return {"out": out, "results": results, "adapter": adapter, "files": {p: p.read_bytes() for p in paths}}


def damaged(raw: bytes, changes: list[tuple[int, int, int]]) -> bytes:
    """Bytes changed, put in, left out or cut off."""
    for place, value, how in changes:
        at = place % max(1, len(raw))
        parts = (bytes([value]), bytes([value]) + raw[at : at + 1], b"", b"")[how]
        raw = raw[:at] + parts + (b"" if how == 3 else raw[at + 1 :])
    return raw


@examples()
@given(st.integers(0, 3), CHANGES)
def test_a_damaged_run_is_read_as_it_was_or_refused(kept, number: int, changes: list) -> None:
    path, raw = list(kept["files"].items())[number]
    path.write_bytes(damaged(raw, changes))
    try:
        if path.name.startswith("adapter."):
            adapter, _ = load_adapter(path.parent)
            X = np.ones((2, adapter.n_features_in_), np.float32)
            np.testing.assert_array_equal(adapter.logits(X), kept["adapter"].logits(X))
        else:
            found = StudyResults.read(kept["out"])
            assert found.rows.equals(kept["results"].rows)
            assert found.record.cells == kept["results"].record.cells
    except FewshotFlairError:
        pass
    finally:
        path.write_bytes(raw)
