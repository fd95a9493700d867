"""What is known of a data set: on what terms it is used, and whether an encoder was pre-trained on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fewshot_flair.datasets.register import KnownSet, get_set, recognised
from fewshot_flair.encoders.seen import SEEN, read_seen, weights_folder
from fewshot_flair.experiment.choices import DataSet, EncoderChoice, data_name
from fewshot_flair.words import agreeing

if TYPE_CHECKING:
    from fewshot_flair.data import Manifest
    from fewshot_flair.experiment.clinic import Rows

__all__ = ["known_set", "pretrained_on", "seen_before", "terms_of"]


def known_set(data: DataSet, manifest: Manifest) -> tuple[KnownSet | None, str]:
    """The public data set that a manifest is of, and how that is known: ``card`` or ``name``; None where it is none.

    A manifest that ``fewshot-flair data prepare`` wrote has a card that says so; else the names of the file and of
    the study's data set may be those of the register.
    """
    if manifest.card is not None:
        return get_set(manifest.card.set), "card"
    if data.manifest == "demo":
        return None, ""
    names = [manifest.path.stem, data_name(str(manifest.path)), data.name]
    return recognised(names), "name"


def pretrained_on(known: KnownSet | None, how: str, encoder: str) -> list[str]:
    """What is to be said of a test set and an encoder; nothing where it was not trained on it as far as is known."""
    trained = known.trained_on(encoder) if known is not None else ""
    if known is None or not trained:
        return []
    guess = f"by its name this is {known.title} ({known.source}); if so, " if how == "name" else ""
    what = trained if trained not in ("yes", "all") else "all of it"
    return [
        f"the test photographs may not be new to the encoder: {guess}{encoder} was pre-trained on {known.title} "
        f"({what}), so figures measured here may be too good"
    ]


def seen_before(choice: EncoderChoice, train: Rows, test: Rows) -> list[str]:
    """What is to be said of photographs that the encoder was trained on, where its folder names them.

    Raises
    ------
    InputError
        If the list beside the weights is damaged.
    """
    place = weights_folder(choice.asked)
    if place is None or not (seen := read_seen(place)):
        return []
    said = []
    for rows, what, so in (
        (test, "test", "figures measured here may be too good"),
        (
            train,
            "training",
            "what is chosen on them may look too good: cross-validation, calibration, thresholds",
        ),
    ):
        if n := sum(key in seen for key in rows.keys):
            are = agreeing(n, "is", "are")
            said.append(
                f"{n} of the {len(rows)} {what} photographs {are} among those that {choice.name} was trained on "
                f"({place / SEEN}), so {so}"
            )
    return said


def terms_of(data: DataSet, *manifests: Manifest) -> list[str]:
    """Source, licence and citation: as the study's file says, and as the cards of prepared manifests do."""
    own = {"source": data.source, "licence": data.licence}
    told = [_terms(data.name, own)] if any(own.values()) else []
    for manifest in manifests:
        card = manifest.card
        if card is not None:
            about = {"source": card.source, "licence": card.licence, "cite": card.citation}
            told.append(_terms(get_set(card.set).title, about))
    return list(dict.fromkeys(told))


def _terms(title: str, about: Mapping[str, str | None]) -> str:
    return f"{title}: " + "; ".join(f"{word}: {text}" for word, text in about.items() if text)
