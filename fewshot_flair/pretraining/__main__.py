"""``torchrun … -m fewshot_flair.pretraining ASSEMBLY.toml --out MODEL``: ``fewshot-flair pretrain`` for torchrun."""

import sys

from fewshot_flair.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["pretrain"]
    main()
