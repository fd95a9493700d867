"""The built-in adapters, one file a method or family; importing this registers them all."""

import importlib

MODULES = (
    "zero_shot",
    "linear_probe",
    "clap",
    "taskres",
    "cross_modal",
    "clip_adapter",
    "tip_adapter",
    "lp_plus_plus",
    "ss_text",
    "ss_text_u",
    "transclip",
    "stata",
    "zlap",
    "em_dirichlet",
    "logistic",
    "gda",
    "proker",
    "prompt_learning",
    "local_top_k",
    "local_attention",
    "local_lse",
    "local_noisy_or",
    "local_prototypes",
    "local_logistic",
)

for _module in MODULES:
    importlib.import_module(f"{__name__}.{_module}")
