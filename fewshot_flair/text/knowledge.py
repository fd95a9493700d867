"""Expert knowledge about retinal categories, and the prompts made of it.

The dictionary is that of Silva-Rodríguez et al., A Foundation Language-Image Model of the Retina (FLAIR),
Medical Image Analysis 99, 2025, as printed there (spelling kept).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib import resources

from fewshot_flair.errors import InputError

__all__ = ["TEMPLATE", "categories", "descriptions", "prompts"]

TEMPLATE = "A fundus photograph of [CLS]"


@cache
def _dictionary() -> dict[str, list[str]]:
    source = resources.files("fewshot_flair.text").joinpath("expert_knowledge.json")
    return json.loads(source.read_text(encoding="utf-8"))["descriptions"]


def categories() -> list[str]:
    """The categories that the dictionary describes, in its order."""
    return list(_dictionary())


def descriptions(class_name: str) -> list[str]:
    """What an expert would say of a category.

    Parameters
    ----------
    class_name : str
        Looked up as written, else without regard to case and with spaces for underscores (folder names
        have those).

    Returns
    -------
    list of str
        The dictionary's descriptions, then the name itself unless the list already has it; the name alone
        for a category that the dictionary does not have.
    """
    known = _dictionary()
    found = known.get(class_name)
    if found is None:
        by_folded = {name.casefold(): texts for name, texts in known.items()}
        found = by_folded.get(class_name.strip().casefold().replace("_", " "), [])
    said = class_name.replace("_", " ")
    return list(found) if said in found else [*found, said]


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
