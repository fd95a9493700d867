"""The built-in methods; importing this registers them."""

from fewshot_flair.conformal.methods import conf_ot, cross, full, mondrian, split, split_transductive

__all__ = ["conf_ot", "cross", "full", "mondrian", "split", "split_transductive"]
