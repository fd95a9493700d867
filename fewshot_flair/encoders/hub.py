"""Files of a published model: in a local folder, in the hub's cache, or downloaded."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from fewshot_flair.encoders.shards import INDEX, index_of, read_index
from fewshot_flair.errors import InputError, MissingFileError

__all__ = ["find_weights", "hub_file", "hub_weights", "is_hub_id", "optional_hub_file"]

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_hub_id(source: str) -> bool:
    """Whether a source has the form ORG/NAME and is no path that exists."""
    return HUB_ID.fullmatch(source) is not None and not Path(source).exists()


def hub_file(repository: str, names: Sequence[str], option: str, files: str = "") -> Path:
    """Return a file of a hub repository, from the local cache or else downloaded.

    Parameters
    ----------
    repository : str
        Hub id.
    names : sequence of str
        Names that the file may have, the preferred first.
    option : str
        How to give a local copy instead, for the message.
    files : str
        All files that the local copy needs, for the message; `names` by default.

    Raises
    ------
    MissingFileError
        If the hub is out of reach, or has no such file; says what to download and where to put it.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    for name in names:
        cached = try_to_load_from_cache(repository, name)
        if isinstance(cached, str):
            return Path(cached)
    wanted = " or ".join(names)
    how = (
        f"download {files or wanted} of https://huggingface.co/{repository} into a folder on a machine that can, "
        f"and give that folder: {option}"
    )
    if not _hub_in_reach():
        raise MissingFileError(
            f"no folder {repository} here, and the model hub, of which it may be an id, is out of reach; {how}"
        )
    for name in names:
        try:
            return Path(hf_hub_download(repository, name))
        except LocalEntryNotFoundError as error:
            raise MissingFileError(f"the model hub did not answer for {repository}; {how}") from error
        except EntryNotFoundError:
            continue
        except (HfHubHTTPError, OSError) as error:
            first = str(error).strip().splitlines()[0]
            raise MissingFileError(f"the model hub refuses {repository} ({first}); {how}") from error
    raise MissingFileError(f"{repository} on the model hub has no {wanted}; is the id right? Else {how}")


def hub_weights(repository: str, names: Sequence[str], option: str, files: str = "") -> Path:
    """Return a weights file of a hub repository as `hub_file` does, or the index of several, with all of them."""
    found = hub_file(repository, _also_indices(names), option, files or " or ".join(names))
    if found.name.endswith(INDEX):
        for shard in sorted(set(read_index(found).values())):
            hub_file(repository, [shard], option, f"{found.name} and the files that it names")
    return found


def _also_indices(names: Sequence[str]) -> list[str]:
    return [either for name in names for either in (name, f"{name}{INDEX}")]


def optional_hub_file(repository: str, name: str) -> Path | None:
    """Return a file that a hub repository may lack, or None."""
    try:
        return hub_file(repository, [name], "")
    except MissingFileError:
        return None


def _hub_in_reach() -> bool:
    """Whether a download is worth trying: the hub's client retries for half a minute before it gives up."""
    import socket
    from urllib.parse import urlsplit

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True
    address = urlsplit(constants.ENDPOINT)
    try:
        socket.create_connection((address.hostname or "", address.port or 443), timeout=5).close()
    except OSError:
        return False
    return True


def find_weights(source: Path, names: Sequence[str]) -> Path:
    """Return the weights file of a local source: the file itself, or the one that a folder holds.

    Where weights are in several files, their index stands for all, also if one of them is given.

    Parameters
    ----------
    source : Path
        File or folder.
    names : sequence of str
        File names that a folder may hold, the preferred first; failing those, its only weights file.

    Raises
    ------
    MissingFileError
        If there is none, or several without their index.
    InputError
        If a folder holds several, none of them under a known name.
    """
    if source.is_file():
        return index_of(source) or source
    if not source.is_dir():
        raise MissingFileError(
            f"no model at {source}: neither a file nor a folder; expected {' or '.join(names)}"
        )
    for name in _also_indices(names):
        if (source / name).is_file():
            return source / name
    files = sorted(p for p in source.iterdir() if p.suffix in (".safetensors", ".pth", ".pt", ".bin"))
    others = sorted({index_of(file) or file for file in files})
    if len(others) == 1:
        return others[0]
    if others:
        raise InputError(
            f"{source} holds several weights ({', '.join(p.name for p in others)}); give the file"
        )
    raise MissingFileError(f"{source} holds no weights; put {' or '.join(names)} there")
