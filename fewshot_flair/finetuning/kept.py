"""Metrics that were measured already, by what they are of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from fewshot_flair.errors import FewshotFlairError
from fewshot_flair.files import digest_of, read_signed, write_signed
from fewshot_flair.finetuning.network import State, TunedNetwork

__all__ = ["Kept", "network_digest"]


class Kept:
    """Metrics that a training's folder keeps, by what they are of; a damaged file is computed again, and said."""

    def __init__(self, path: Path, said: Callable[[str], None]) -> None:
        self.path, self.found, self.new = path, {}, False
        if path.is_file():
            try:
                self.found = read_signed(path)
            except FewshotFlairError as error:
                said(f"{error}; it is measured again")

    def get(self, key: str) -> dict[str, float] | None:
        """What was measured, if it was."""
        return self.found.get(key)

    def put(self, key: str, metrics: dict[str, float]) -> None:
        """Keep it, until `write` in memory."""
        self.new |= key not in self.found
        self.found[key] = metrics

    def write(self) -> None:
        """Write what is new."""
        if self.new:
            write_signed(self.path, self.found)
            self.new = False


def network_digest(network: TunedNetwork, state: State) -> str:
    """Hex digest of all numbers of a network that takes over a state."""
    whole = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        now = state.get(name, tensor).detach().cpu().contiguous()
        whole.update(name.encode())
        whole.update(now.numpy().tobytes())
    return digest_of([whole.hexdigest(), network.place, network.normalize])
