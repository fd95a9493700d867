"""Published numbers that a study's are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.experiment.grid import SETTING
from fewshot_flair.files import digest_of, read_json
from fewshot_flair.words import counted

if TYPE_CHECKING:
    from fewshot_flair.experiment.provenance import Provenance

__all__ = ["read_published", "unmet_needs"]

NEEDS = {"encoders", "images", "protocol", "prompts", "seeds"}


def read_published(path: Path) -> dict[str, Any]:
    """Read published numbers: ``source``, ``needs`` and ``rows`` of setting columns, ``metric`` and ``value``.

    ``needs`` says under which settings of a study a measured number may stand beside a published one: the names
    of ``encoders``, the ``protocol`` of the draws, how many ``seeds``, how many ``images`` each data set has on both
    sides together, and ``prompts``, the digest of what the paper's classes say, by data set (`digest_of` of the
    descriptions by class).

    Raises
    ------
    MissingFileError, InputError
        Where there is no such file, or it is not of this form.
    """
    if not path.is_file():
        raise MissingFileError(f"published numbers: no file {path}")
    from fewshot_flair.evaluation import METRICS

    content = read_json(path)
    try:
        for row in content["rows"]:
            float(row["value"])
            unknown = set(row) - {"value", "metric", "adapter", *SETTING}
            if row["metric"] not in METRICS or unknown:
                raise ValueError(f"unknown metric or column in {row}")
        str(content["source"])
        if set(content["needs"]) - NEEDS:
            raise ValueError(f"needs knows {', '.join(sorted(NEEDS))}")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: holds no 'source', 'needs' and 'rows' with a 'value' each ({error!r})"
        ) from error
    return content


def unmet_needs(needs: dict[str, Any], study: dict[str, Any], clinics: Sequence[Provenance]) -> list[str]:
    """Why a study's numbers are not those that were published, in words; empty where they may be compared.

    Features that came without photographs bring their encoder and prototypes with them and are taken at their word.
    """
    encoded = [clinic for clinic in clinics if not clinic.brought]
    reasons = []
    others = sorted({clinic.encoder.name for clinic in encoded} - set(needs.get("encoders", [])))
    if "encoders" in needs and others:
        reasons.append(f"the encoder is {', '.join(others)}, not {' or '.join(needs['encoders'])}")
    paper = needs.get("prompts", {})
    own = [
        each for each in encoded if each.data in paper and digest_of(each.descriptions) != paper[each.data]
    ]
    if own:
        words = ", ".join(dict.fromkeys(each.prompts for each in own))
        reasons.append(
            f"the prompts are {words}, not the paper's (`fewshot-flair data prompts CLONE` writes those, and --prompts "
            "takes them)"
        )
    for each in encoded:
        wanted = needs.get("images", {}).get(each.data)
        n = each.train.images if each.folds else each.train.images + each.test.images
        if wanted is not None and n != wanted:
            reasons.append(f"{each.data} has {n:,} images here, not {wanted:,}")
    if study["protocol"] != needs.get("protocol", study["protocol"]):
        reasons.append(f"the draws are of protocol {study['protocol']}, not {needs['protocol']}")
    if len(study["seeds"]) != needs.get("seeds", len(study["seeds"])):
        reasons.append(f"it has {counted(len(study['seeds']), 'draw')}, not {needs['seeds']}")
    return reasons
