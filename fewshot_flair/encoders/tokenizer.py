"""WordPieces from a vocab.txt, as BERT's own tokenizer makes them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.encoders.config import read_json
from fewshot_flair.errors import InputError, MissingFileError

__all__ = ["MAX_TOKENS", "WordPieces", "lower_cases"]

MAX_TOKENS = 77
MAX_PIECES = 10**6
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def lower_cases(settings: Path | None) -> bool:
    """Whether texts are lower-cased before they are cut into pieces.

    Parameters
    ----------
    settings : Path or None
        The text encoder's tokenizer_config.json, where there is one.

    Returns
    -------
    bool
        What the file says as do_lower_case; true where there is no file or it doesn't say, as in
        transformers' AutoTokenizer.
    """
    # FLAIR was trained through AutoTokenizer on Bio_ClinicalBERT, whose repository has no such file: cased as its
    # vocabulary is, the published model has only ever read lower-cased text.
    stated = read_json(settings).get("do_lower_case") if settings else None
    return True if stated is None else bool(stated)


class WordPieces:
    """Turn texts into padded token ids.

    Parameters
    ----------
    vocabulary : path
        A vocab.txt, one piece a line; its line number is the token's id.
    lower_case : bool
        Lower-case (and strip accents) first; what a published folder asks for, `lower_cases` says.
    max_tokens : int
        Longer texts are cut to this many tokens, [CLS] and [SEP] included.
    n_vectors : int, optional
        How many word vectors the text tower has; one is needed for each piece.

    Raises
    ------
    MissingFileError
        If the file is not there.
    InputError
        If it is no text, lacks one of [PAD], [UNK], [CLS], [SEP], or has more pieces than there are vectors.
    """

    def __init__(
        self,
        vocabulary: str | Path,
        *,
        lower_case: bool = False,
        max_tokens: int = MAX_TOKENS,
        n_vectors: int | None = None,
    ) -> None:
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

        path = Path(vocabulary)
        if not path.is_file():
            raise MissingFileError(f"text encoder: no vocabulary {path}; put the model's vocab.txt there")
        try:
            with path.open(encoding="utf-8") as file:
                lines = [line.rstrip("\n") for line in islice(file, MAX_PIECES + 1)]
        except (OSError, ValueError) as error:
            raise InputError(
                f"text encoder: {path} cannot be read as text ({error}); fetch it again"
            ) from error
        ids = {line: number for number, line in enumerate(lines)}
        if len(lines) > (n_vectors or MAX_PIECES):
            raise InputError(
                f"text encoder: {path} has more pieces than the text tower has word vectors, "
                f"{n_vectors or MAX_PIECES}; is it the vocabulary of another model?"
            )
        lacking = [token for token in SPECIAL if token not in ids]
        if lacking:
            raise InputError(f"text encoder: {path} lacks the token {lacking[0]}; is it a BERT vocab.txt?")
        tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))  # noqa: S106
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower_case)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
        tokenizer.add_special_tokens([t for t in (*SPECIAL, "[MASK]") if t in ids])
        tokenizer.enable_truncation(max_tokens)
        tokenizer.enable_padding(pad_id=ids["[PAD]"], pad_token="[PAD]")  # noqa: S106
        self.size = len(lines)
        self._tokenizer, self._unknown, self._max_tokens = tokenizer, ids["[UNK]"], max_tokens

    @classmethod
    def read(cls, folder: Path, *, max_tokens: int = MAX_TOKENS) -> WordPieces:
        """Read vocab.txt from a folder; lower-casing as its tokenizer_config.json says (see `lower_cases`)."""
        settings = folder / "tokenizer_config.json"
        lower_case = lower_cases(settings if settings.is_file() else None)
        return cls(folder / "vocab.txt", lower_case=lower_case, max_tokens=max_tokens)

    def __call__(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Token ids and attention mask, both int64 [n, longest text], padded at the right."""
        encoded = self._tokenizer.encode_batch(list(texts))
        ids = np.array([e.ids for e in encoded], dtype=np.int64)
        mask = np.array([e.attention_mask for e in encoded], dtype=np.int64)
        return ids, mask

    def unread(self, texts: Sequence[str]) -> list[str]:
        """What of these texts is lost: unknown words, or all after so many tokens."""
        encoded = self._tokenizer.encode_batch(list(texts))
        unknown = any(self._unknown in e.ids for e in encoded)
        cut = any(e.overflowing for e in encoded)
        return ["unknown words"] * unknown + [f"cut off at {self._max_tokens} tokens"] * cut
