"""The files beside a report: kept until all are made, then written in the place of an earlier report's."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fewshot_flair.experiment.folder import folder_name
from fewshot_flair.files import replace_file, sha256
from fewshot_flair.report.drawing import encoded, lacking

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Picture", "free_name", "kept_figure", "replace_files"]

LIST = "report-files.txt"
"""Names the files that a report wrote beside itself, so that the next one removes them and nothing else."""


def replace_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Remove what an earlier report wrote beside itself, and write this one's files."""
    listed = folder / LIST
    if listed.is_file():
        for line in listed.read_text(encoding="utf-8", errors="replace").splitlines():
            path = folder / line
            # a list that was edited, or damaged, removes nothing elsewhere
            if path.parent in (folder / "figures", folder / "tables") and path.name.isprintable():
                path.unlink(missing_ok=True)
    # first the list, so that a report that is killed leaves nothing that the next does not know
    replace_file(listed, ["".join(f"{name}\n" for name in sorted(files)).encode()], sync=False)
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        replace_file(folder / name, [content], sync=False)


class Picture(NamedTuple):
    """A figure in the page.

    Attributes
    ----------
    uri : str
        The SVG as a data address, inert wherever it stands.
    caption : str
    width : int
        In pixels; on a small screen it is shown at two thirds of them or more.
    """

    uri: str
    caption: str
    width: int


def free_name(label: str, folder: str, files: Mapping[str, bytes]) -> str:
    """A label as the name of a file in a folder (see `folder_name`), with a digest where another file has that name.

    Names that differ only in case are one, as they are on the disks of Windows and macOS.
    """
    name = folder_name(label)
    taken = {place.rpartition(".")[0].casefold() for place in files}
    if f"{folder}/{name}".casefold() in taken:
        name = f"{name}-{sha256(label.encode(errors='surrogatepass'))[:8]}"
    return name


def kept_figure(figure: Figure, files: dict[str, bytes], name: str, caption: str) -> Picture:
    """Keep as PNG and SVG, and give what the page shows."""
    name = free_name(name, "figures", files)
    for kind in ("png", "svg"):
        files[f"figures/{name}.{kind}"] = encoded(figure, kind)
        figure.set_layout_engine("none")  # its place is found once for both
    if letters := lacking(figure):
        caption += (
            f" The picture's font has no letters {letters[:20]}, which are boxes in it: name the classes in Latin, "
            "Greek or Cyrillic letters for pictures."
        )
    uri = "data:image/svg+xml;base64," + base64.b64encode(files[f"figures/{name}.svg"]).decode()
    return Picture(uri, caption, round(96 * figure.get_figwidth()))
