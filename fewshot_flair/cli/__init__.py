"""The command line: thin commands that parse, call and show.

Nothing heavy is imported here or at the top of a command's module, so that ``--help`` is instant.
"""

from __future__ import annotations

import inspect
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from fewshot_flair.cli import (
    adapt,
    bank,
    cache,
    data,
    explain,
    export,
    finetune,
    list_adapters,
    list_encoders,
    predict,
    pretrain,
    prompts,
    quality,
    study,
)

app = typer.Typer(
    name="fewshot-flair",
    help="Few-shot adaptation of retinal vision-language models. A research tool, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
INTERRUPTED = 130
"""Exit status of a command that Ctrl-C ended."""
MORE_MEMORY = "give a smaller --batch-size and fewer --workers where there are such, or less at once"

app.command()(adapt.adapt)
app.command()(predict.predict)
app.command()(explain.explain)
app.command()(export.export)
app.command()(quality.quality)
app.command()(cache.cache)
app.command()(study.study)
app.command()(study.report)
app.command()(finetune.finetune)
app.command()(pretrain.pretrain)
app.command()(prompts.prompts)
app.command()(list_adapters.adapters)
app.command()(list_encoders.encoders)
app.add_typer(data.app)
app.add_typer(bank.app)


def _flow_help() -> None:
    """Let each paragraph of the commands' help flow, and keep its brackets.

    Typer would break lines where the source's end, and take ``[[data]]`` for markup.
    """
    from rich.markup import escape

    for group in (app, data.app, bank.app):
        for command in group.registered_commands:
            paragraphs = inspect.cleandoc(command.help or inspect.getdoc(command.callback) or "").split(
                "\n\n"
            )
            flowing = "\n\n".join(" ".join(lines.split()) for lines in paragraphs)
            command.help = escape(flowing.replace("``", "`"))


_flow_help()


def main() -> None:
    """Run the command line; a mistake of the user's ends in one sentence and exit status 2."""
    from fewshot_flair.errors import FewshotFlairError

    # file names need not be text that the terminal's encoding has
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        _refuse_empty(sys.argv[1:])
        app()
    except FewshotFlairError as error:
        _say(str(error))
        sys.exit(2)
    except MemoryError as error:
        _say(f"there is not enough memory ({str(error)[:200] or 'no more is given'}); {MORE_MEMORY}")
        sys.exit(2)
    except BrokenPipeError:
        raise
    except OSError as error:  # a full or read-only disk, a folder that one may not write to
        from fewshot_flair.disk import is_full, told_of_full_disk

        if is_full(error) and error.filename:
            _say(told_of_full_disk(Path(os.fsdecode(error.filename)), error))
            sys.exit(2)
        names = [str(name) for name in (error.filename, error.filename2) if name]
        _say(f"{' and '.join(names) or 'the file system'}: {error.strerror or error}")
        sys.exit(2)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            sys.stderr.write(
                "\ninterrupted; what was encoded and computed so far is kept, and the same command goes on from "
                "there\n"
            )
        raise


def _refuse_empty(words: Sequence[str]) -> None:
    """Raise where a word is empty, as a variable that is not set leaves it: no option has a use for that."""
    from fewshot_flair.errors import InputError

    for before, word in zip(["", *words], words, strict=False):
        option, equals, value = word.partition("=") if word.startswith("--") else (before, "=", word)
        if equals and not value.strip():
            where = (
                f"{option} is given nothing" if option.startswith("-") else "a word of the command is empty"
            )
            raise InputError(f"{where}; is it a variable that is not set? write a value, or leave it out")


def _say(text: str) -> None:
    from fewshot_flair.cli.terminal import console, plain, stderr

    stderr(console()).print(f"[bold red]error:[/] {plain(text)}")
