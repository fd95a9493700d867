"""Expert knowledge about retinal categories, and the prompts made of it.

The dictionary is that of Silva-Rodríguez et al., A Foundation Language-Image Model of the Retina (FLAIR),
Medical Image Analysis 99, 2025, as printed there (spelling kept).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib import resources

from fewshot_flair.data.grades import DR_GRADES, DR_SPELLINGS, folded
from fewshot_flair.errors import InputError

__all__ = ["TEMPLATE", "categories", "category_of", "descriptions", "prompts"]

TEMPLATE = "A fundus photograph of [CLS]"

_ALSO_WRITTEN = {
    "age-related macular degeneration": ("amd", "armd", "macular degeneration"),
    "branch retinal vein occlusion": ("brvo",),
    "central serous retinopathy": ("csr", "central serous chorioretinopathy"),
    "cotton wool spots": ("cotton wool spot",),
    "diabetic macular edema": ("dme",),
    "drusens": ("drusen",),
    "epiretinal membrane": ("erm",),
    "haemorrhages": ("haemorrhage", "retinal haemorrhage", "retinal haemorrhages"),
    "intraretinal microvascular abnormalities": ("irma", "intraretinal microvascular abnormality"),
    "microaneurysms": ("microaneurysm",),
    "optic disc pallor": ("optic disk pallor",),
    "pathologic myopia": ("pathological myopia",),
    "retinitis pigmentosa": ("rp",),
    **dict(zip(DR_GRADES, DR_SPELLINGS, strict=True)),
}
"""Usual spellings and abbreviations of categories, beside those that `folded` makes one."""


@cache
def _dictionary() -> dict[str, list[str]]:
    source = resources.files("fewshot_flair.text").joinpath("expert_knowledge.json")
    return json.loads(source.read_text(encoding="utf-8"))["descriptions"]


def categories() -> list[str]:
    """The categories that the dictionary describes, in its order."""
    return list(_dictionary())


def category_of(class_name: str) -> str | None:
    """The dictionary's name of a category, found as `descriptions` finds it; None where it has none."""
    return class_name if class_name in _dictionary() else _by_spelling().get(folded(class_name))


def descriptions(class_name: str) -> list[str]:
    """What an expert would say of a category.

    Parameters
    ----------
    class_name : str
        Looked up as written, else without regard to case, hyphens, underscores and British spelling, and
        under its usual abbreviations (``PDR``, ``AMD``).

    Returns
    -------
    list of str
        The dictionary's descriptions, then the name itself unless the list already has it (for an abbreviation
        the category's name); the name alone for a category that the dictionary does not have.
    """
    said, category = class_name.replace("_", " "), category_of(class_name)
    if category is None:
        return [said]
    found = _dictionary()[category]
    if folded(category) != folded(class_name):
        said = category
    return list(found) if said in found else [*found, said]


@cache
def _by_spelling() -> dict[str, str]:
    also = {spelling: name for name, spellings in _ALSO_WRITTEN.items() for spelling in spellings}
    return also | {folded(name): name for name in _dictionary()}


def prompts(texts: Sequence[str], template: str = TEMPLATE) -> list[str]:
    """The template with "[CLS]" replaced by each text.

    Raises
    ------
    InputError
        If the template has no "[CLS]".

    Examples
    --------
    >>> prompts(["microaneurysms"])
    ['A fundus photograph of microaneurysms']
    """
    if "[CLS]" not in template:
        raise InputError(f"template {template!r} has no '[CLS]' where the category goes")
    return [template.replace("[CLS]", text) for text in texts]
