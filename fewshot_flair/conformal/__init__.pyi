from .base import CONFORMAL, Conformal, ConformalInfo, create_conformal, list_conformal

__all__ = ["CONFORMAL", "Conformal", "ConformalInfo", "create_conformal", "list_conformal"]
