"""Published numbers that a study's are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.experiment.grid import SETTING
from fewshot_flair.files import read_json
from fewshot_flair.words import counted

if TYPE_CHECKING:
    from fewshot_flair.experiment.provenance import Provenance

__all__ = ["read_published", "unmet_needs"]

NEEDS = {"encoders", "protocol", "prompts", "seeds"}


def read_published(path: Path) -> dict[str, Any]:
    """Read published numbers: ``source``, ``needs`` and ``rows`` of setting columns, ``metric`` and ``value``.

    ``needs`` says under which settings of a study a measured number may stand beside a published one: the names
    of ``encoders``, the ``protocol`` of the draws, how many ``seeds``, and ``prompts = "file"`` where class names
    or the dictionary's descriptions are not what the paper used.

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
    if needs.get("prompts") == "file":
        own = sorted({clinic.prompts for clinic in encoded} & {"expert", "names"})
        if own:
            reasons.append(f'the prompts are {", ".join(own)}, not the paper\'s (prompts = ["FILE.toml"])')
    if study["protocol"] != needs.get("protocol", study["protocol"]):
        reasons.append(f"the draws are of protocol {study['protocol']}, not {needs['protocol']}")
    if len(study["seeds"]) != needs.get("seeds", len(study["seeds"])):
        reasons.append(f"it has {counted(len(study['seeds']), 'draw')}, not {needs['seeds']}")
    return reasons
