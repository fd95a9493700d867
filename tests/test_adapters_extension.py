"""An adapter of one's own, registered by a decorator or by another package's entry point."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from planted import results_of, study_of
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fewshot_flair import EpisodeSampler, TextPrototypes, create_adapter, fit_episodes, list_adapters
from fewshot_flair.adapters import Adapter, cosine_head, get_adapter_class, register, registry
from fewshot_flair.errors import InputError

HALFWAY = textwrap.dedent(
    '''
    from fewshot_flair.adapters import Adapter, cosine_head, register

    @register
    class Halfway(Adapter):
        """Prototypes halfway between text and shots."""

        name = "halfway"
        summary = "prototypes between text and class means"

        def __init__(self, text=None, share=0.5, device="cpu"):
            super().__init__(text, device)
            self.share = share

        def fit_batch(self, batch):
            text = batch.prototypes
            present = batch.xp.astype(batch.present, batch.x.dtype)[:, :, None]
            weights = text.prototypes + self.share * present * (batch.class_means - text.prototypes)
            return cosine_head(batch.xp, weights, text.scale)
    '''
)


@pytest.fixture
def halfway():
    exec(HALFWAY, {"__name__": __name__})
    yield get_adapter_class("halfway")
    del registry._adapters.known["halfway"]


def clinic():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 15)
    centres = rng.standard_normal((3, 8))
    X = centres[y] + 0.7 * rng.standard_normal((45, 8))
    return X, y, TextPrototypes(["no", "mild", "severe"], centres + rng.standard_normal((3, 8)), 2.0)


def test_a_made_up_adapter_works_everywhere(halfway):
    assert len(HALFWAY.strip().splitlines()) <= 30
    X, y, text = clinic()
    assert "halfway" in [info.name for info in list_adapters()]
    adapter = create_adapter("halfway", text=text, share=0.8)
    fits = fit_episodes(adapter, X, y, EpisodeSampler(2).sample_many(y, range(20)))
    assert fits.logits(X).shape == (20, 45, 3)
    piped = make_pipeline(StandardScaler(with_mean=False), adapter)
    assert cross_val_score(piped, X, y, cv=3).mean() > 0.8


def test_a_made_up_adapter_runs_in_a_study(halfway, planted_clinic, tmp_path):
    rows = results_of(study_of(adapters=["halfway:share=0.8"], shots=[2]), tmp_path, planted_clinic).rows
    assert list(rows["adapter"]) == ["halfway(share=0.8)"] * 3


def test_another_package_s_adapter_is_found_by_its_entry_point(tmp_path):
    (tmp_path / "theirs.py").write_text(HALFWAY)
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fewshot_flair.adapters]\nhalfway = theirs:Halfway\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from fewshot_flair import create_adapter\nprint(create_adapter('halfway').share)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0.5"


def test_a_name_is_given_once():
    with pytest.raises(InputError, match=r"adapter name 'lp' is taken by .*LinearProbe"):
        register(type("Other", (Adapter,), {"name": "lp", "summary": "another"}))
    with pytest.raises(InputError, match="needs the class attributes name and summary"):
        register(type("Nameless", (Adapter,), {}))


def test_listing_adapters_does_not_import_torch():
    code = "import sys, fewshot_flair as f; f.list_adapters(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_fitting_on_the_cpu_does_not_import_torch():
    code = (
        "import sys, numpy as np, fewshot_flair as f\n"
        "t = f.TextPrototypes(['a', 'b'], np.eye(2, 8), 2.0, np.eye(2, 8), [0, 1])\n"
        "X = np.random.default_rng(0).standard_normal((8, 8)); y = [0, 1] * 4\n"
        "for name in [i.name for i in f.list_adapters() if not i.needs_tower]:\n"
        "    f.fit_episodes(f.create_adapter(name, text=t), X, y, [range(8)]).logits(X)\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_broken_package_costs_nobody_the_other_adapters(tmp_path):
    (tmp_path / "theirs.py").write_text("import a_package_that_is_not_there")
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fewshot_flair.adapters]\nhalfway = theirs:Halfway\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from fewshot_flair import create_adapter\nprint(create_adapter('logistic').name)\n"
        "try: create_adapter('halfway')\nexcept ValueError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("logistic\n")
    assert "package theirs (theirs:Halfway) cannot be loaded: No module named" in done.stdout
    assert "RuntimeWarning" in done.stderr


def test_a_file_of_one_s_own_makes_adapters_known(tmp_path, parity):
    path = tmp_path / "mine.py"
    path.write_text(HALFWAY)
    features = tmp_path / "train.npz"
    text = {name: parity[name] for name in ("initial_prototypes", "logit_scale")}
    np.savez(features, feats_ds=parity["feats_train"], refs_ds=parity["refs_train"], **text)
    command = [
        sys.executable,
        "-c",
        "from fewshot_flair.cli import main; main()",
        "adapt",
        "--data",
        features,
    ]
    command += ["--adapter", "halfway:share=0.8", "--shots", "2", "--seeds", "2", "--out", tmp_path / "run"]
    command += ["--cache", tmp_path / "cache"]
    done = subprocess.run(map(str, command), capture_output=True, text=True)
    assert done.returncode == 2
    assert "no adapter 'halfway'" in done.stderr
    assert "--adapters-from FILE.py" in done.stderr
    done = subprocess.run(
        map(str, [*command, "--adapters-from", path]), capture_output=True, text=True, check=True
    )
    assert "halfway(share=0.8)" in done.stdout
    report = [*command[:3], "report", tmp_path / "run", "--adapters-from", path]
    done = subprocess.run(map(str, report), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for number, folder in enumerate(("a", "b")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "half.py").write_text(HALFWAY.replace("halfway", f"halfway{number}"))
    code = (
        "import sys, pathlib\nfrom fewshot_flair.adapters import get_adapter_class, use_adapters_from\n"
        "from fewshot_flair.experiment.code import code_digest\nfolder = pathlib.Path(sys.argv[1])\n"
        "use_adapters_from([folder / 'a' / 'half.py', folder / 'b' / 'half.py'])\n"
        "before = code_digest('halfway0'), code_digest('halfway1')\n"
        "(folder / 'a' / 'half.py').open('a').write('# edited')\n"
        "print(before[0] != code_digest('halfway0'), before[1] == code_digest('halfway1'))\n"
        "(folder / 'c.py').write_text('1 / 0')\n"
        "try: use_adapters_from([folder / 'c.py'])\nexcept ValueError: pass\n"
        "(folder / 'c.py').write_text((folder / 'b' / 'half.py').read_text().replace('halfway1', 'mended'))\n"
        "use_adapters_from([folder / 'c.py'])\nprint(get_adapter_class('mended').name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "True", "mended"]
    path.write_text("1 / 0")
    done = subprocess.run(map(str, [*command, "--adapters-from", path]), capture_output=True, text=True)
    assert done.returncode == 2
    assert "ZeroDivisionError: division by zero" in done.stderr
    assert "Traceback" not in done.stderr


def test_slips_in_an_adapter_of_one_s_own_are_named():
    X, y, text = clinic()

    class Slipped(Adapter):
        name, summary = "slipped", "gives no head"
        head = staticmethod(lambda batch: np.zeros((1, 3, 8)))

        def fit_batch(self, batch):
            return self.head(batch)

    with pytest.raises(InputError, match="slipped: fit_batch gave ndarray; it must give a Head"):
        Slipped(text).fit(X, y)
    Slipped.head = staticmethod(lambda batch: cosine_head(batch.xp, batch.class_means[:, :2], 1.0))
    with pytest.raises(InputError, match=r"have shape \(1, 1, 2\); \(episodes, 1, 3\) is needed"):
        Slipped(text).fit(X, y)
    with pytest.raises(InputError, match=r"\(episodes, 1, 3\) is needed"):
        fit_episodes(Slipped(text), X, y, [range(45)])
