"""The built-in ways of fine-tuning, one a file; importing this registers them."""

from fewshot_flair.finetuning.methods import full, lp_ft, last_stage, bn_bias, lora  # noqa: F401, I001 - the order of lists
