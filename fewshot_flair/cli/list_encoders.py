"""``fewshot-flair encoders``: which encoders there are."""

from __future__ import annotations

import json
from typing import Annotated

import typer

__all__ = ["encoders"]


def encoders(
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List the encoders: what each is, and what it needs to be downloaded."""
    from dataclasses import asdict

    from rich.console import Console
    from rich.markup import escape

    from fewshot_flair.encoders import list_encoders

    found = list_encoders()
    if as_json:
        typer.echo(json.dumps([asdict(about) for about in found], indent=2))
        return
    console = Console(highlight=False)
    for about in found:
        features = " + ".join(str(width) for width in about.feature_dims.values()) or "its own"
        facts = [
            "text tower" if about.has_text else "no text",
            f"features: {features}",
            f"pixels: {about.image_size or 'its own'}",
            f"local map: {about.local_map}",
            f"weights: {f'hub {about.hub_id}' if about.hub_id else 'in the package'}",
        ]
        # lines are left to the terminal, so that a name of the hub is never cut or broken
        console.print(f"[bold]{escape(about.name)}[/]  {escape(about.description)}", soft_wrap=True)
        console.print(f"    [dim]{escape('; '.join(facts))}[/]", soft_wrap=True)
    console.print("\nweights that lie in a folder or file: --encoder NAME:PATH", style="dim", markup=False)
