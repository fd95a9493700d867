"""Where a saved adapter lies, and what the record of its run says of it; digests that differ are refused."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fewshot_flair.bank.keys import image_key
from fewshot_flair.errors import InputError
from fewshot_flair.experiment.folder import folder_name
from fewshot_flair.experiment.results import RunRecord, Saved
from fewshot_flair.files import as_given, sha256
from fewshot_flair.models.storage import adapter_digest
from fewshot_flair.words import nearest

__all__ = ["Origin"]


@dataclass(frozen=True)
class Origin:
    """An adapter's folder and its run.

    Attributes
    ----------
    folder, run : Path
        Of the adapter, and of the run that it lies in.
    label : str
        What the run calls it.
    record : RunRecord or None
        None where the folder lies in no run.
    """

    folder: Path
    run: Path
    label: str
    record: RunRecord | None

    @classmethod
    def find(cls, run: Path, name: str | None = None) -> Origin:
        """Find a run's adapter (by default the run's own choice), or take the folder of one.

        Raises
        ------
        MissingFileError, InputError
            If there is no finished run, no such adapter in it, or the adapter or the table of splits is not the one
            that the run wrote.
        """
        if (run / "adapter.json").is_file() and name is None:
            folder, run = run, run.absolute().parent.parent
            if not (run / "run.json").is_file():
                return cls(folder, run, folder.name, None)
            record, asked = RunRecord.read(run), folder.absolute().name
        else:
            record = RunRecord.read(run)
            if not record.saved:
                raise InputError(
                    f"{run} keeps no adapters; a study saves them with save = true, `adapt` always does"
                )
            asked = name or record.default_adapter or ""
        known = {folder_name(label): label for label in record.saved}
        label = asked if asked in record.saved else known.get(asked, "")
        place = run / "adapters" / Path(record.saved[label].folder).name if label else run
        if not (place / "adapter.json").is_file():
            raise InputError(_none_such(run, record, asked, label))
        found = cls(place, run, label, record)
        found._check()
        return found

    @property
    def saved(self) -> Saved | None:
        """What the run says of the adapter."""
        return self.record.saved[self.label] if self.record else None

    @property
    def splits(self) -> pd.DataFrame | None:
        """Which photograph is on which side (see `splits_table`); None where the table is not at hand."""
        path = self.run / "splits.csv"
        if self.record is None or not path.is_file():
            return None
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        return table.map(as_given)

    @property
    def trained_on(self) -> frozenset[str]:
        """Keys of the training rows; empty where the run's table is not at hand."""
        table = self.splits
        return frozenset() if table is None else frozenset(table.loc[table["split"] == "train", "key"])

    def photographs(self, data: str, most: int) -> list[Path]:
        """Test photographs of a data set that lie where the run found them, unchanged; spread over the table."""
        table = self._tested(data)
        step = max(1, len(table) // most)
        return list(self._at_hand(data, table.iloc[::step]).values())[:most]

    def test_files(self, data: str, images: Collection[str]) -> dict[str, Path]:
        """Those of some test photographs that lie where the run found them, unchanged, by their name in its table."""
        table = self._tested(data)
        return self._at_hand(data, table[table["image"].isin(list(images))])

    def _tested(self, data: str) -> pd.DataFrame:
        table = self.splits
        if table is None:
            return pd.DataFrame(columns=["image", "key"])
        return table[(table["data"] == data) & (table["split"] == "test")]

    def _at_hand(self, data: str, rows: pd.DataFrame) -> dict[str, Path]:
        if not len(rows):
            return {}
        assert self.record is not None
        settings = next(each for each in self.record.study["data"] if each["name"] == data)
        side = next(clinic.test for clinic in self.record.clinics if clinic.data == data)
        place = Path(side.path)
        given = settings["test_images"] if settings["test_on"] else settings["images"]
        folder = Path(given) if given else place if place.is_dir() else place.parent
        found = {image: (folder / image, key) for image, key in zip(rows["image"], rows["key"], strict=True)}
        return {
            image: path for image, (path, key) in found.items() if path.is_file() and image_key(path) == key
        }

    def _check(self) -> None:
        assert self.record is not None
        if adapter_digest(self.folder) != self.record.saved[self.label].sha256:
            raise InputError(
                f"{self.folder} is not the adapter that {self.run / 'run.json'} tells of: their digests differ; run "
                "the same command again"
            )
        splits = self.run / "splits.csv"
        if splits.is_file() and sha256(splits.read_bytes()) != self.record.digests.get(splits.name):
            raise InputError(
                f"{splits} is damaged or of another run: it is not what run.json's digest says; run the same command "
                "again, or take the file away (photographs that were trained on are then not noted)"
            )


def _none_such(run: Path, record: RunRecord, asked: str, label: str) -> str:
    """What is said of an adapter that a run's folder does not hold: those that lie there, and the one that is meant."""
    there = [
        name
        for name, saved in record.saved.items()
        if (run / "adapters" / Path(saved.folder).name / "adapter.json").is_file()
    ]
    at_hand = f"it has {', '.join(there)}" if there else "none of the run's lies there any more"
    if label:
        other = f"; name another with --adapter ({at_hand})" if there else f" ({at_hand})"
        return f"{run} saved the adapter {label!r}, but its folder is gone; run the same command again{other}"
    hint = nearest(asked, there)
    return f"{run} has no adapter {asked!r}; {hint}{' ' * bool(hint)}{at_hand}"
