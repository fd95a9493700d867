"""The card beside a manifest that this program prepared: where its photographs are, and what data set they are of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fewshot_flair.errors import InputError
from fewshot_flair.files import read_json, replace_file, sha256

__all__ = ["ManifestCard", "read_card", "write_card"]

FORMAT = "fewshot-flair manifest 1"
MOST_CARDS = 200
"""So many JSON files beside a manifest are looked at."""


@dataclass(frozen=True)
class ManifestCard:
    """What goes with a prepared manifest, in a JSON file beside it.

    Attributes
    ----------
    set : str
        Name of the data set in the register (`fewshot_flair.datasets`).
    images : str
        Folder that the manifest's paths start from.
    classes : list of str
        In their order; those that have photographs.
    ordinal : bool
        Whether that order is one of grades.
    named : int
        Photographs that the split tables or the published layout name; the manifest has those that were found.
    manifest : str
        Hex sha256 of the manifest as it was written.
    remarks : list of str
        What was left out or differs from what was published.
    """

    set: str
    images: str
    classes: Sequence[str]
    ordinal: bool
    named: int
    manifest: str
    source: str
    licence: str
    citation: str
    remarks: Sequence[str]

    def folder(self, manifest: Path) -> Path:
        """The photographs' folder; InputError where it has gone."""
        if not Path(self.images).is_dir():
            raise InputError(
                f"{card_path(manifest)} says that the photographs are in {self.images}, where there is no folder; give "
                "it (--images DIR; in a study `images`, under [[data]]), or run `fewshot-flair data prepare` again"
            )
        return Path(self.images)

    def changed(self, manifest: Path) -> bool:
        """Whether the manifest is not the one that was prepared any more."""
        return sha256(manifest.read_bytes()) != self.manifest


def card_path(manifest: Path) -> Path:
    """Where a manifest's card is."""
    return manifest.with_suffix(".json")


def write_card(manifest: Path, card: ManifestCard) -> None:
    """Put a card beside its manifest."""
    text = json.dumps({"format": FORMAT, **asdict(card)}, indent=2, ensure_ascii=False)
    replace_file(card_path(manifest), [text.encode(errors="backslashreplace"), b"\n"])


def read_card(manifest: Path) -> ManifestCard | None:
    """The card of a manifest; None where there is none, or the file of that name is something else.

    The card of a manifest that was renamed is known by the manifest's digest, where it lies in the same folder.

    Raises
    ------
    InputError
        If the card is damaged.
    """
    if manifest.suffix.lower() != ".csv":
        return None
    path = card_path(manifest)
    if path.is_file():
        return _read(path) if _is_card(path) else None
    others = [other for other in sorted(manifest.parent.glob("*.json"))[:MOST_CARDS] if _is_card(other)]
    if not others or not manifest.is_file():
        return None
    digest = sha256(manifest.read_bytes())
    return next((card for card in map(_read, others) if card.manifest == digest), None)


def _is_card(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return FORMAT.encode() in file.read(200)
    except OSError:
        return False


def _read(path: Path) -> ManifestCard:
    content = read_json(path)
    try:
        content.pop("format")
        card = ManifestCard(**content)
        texts = [card.set, card.images, card.manifest, *card.classes, *card.remarks]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("an entry that should be a text is none")
        return card
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is damaged ({error}); run `fewshot-flair data prepare` again, or remove it"
        ) from error
