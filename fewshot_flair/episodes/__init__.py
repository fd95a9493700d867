"""Episodes: how many shots each class gets (scenarios) and which images they are (the sampler)."""

from fewshot_flair.episodes.episode import Episodes
from fewshot_flair.episodes.prevalences import Dirichlet, MissingClass, Prevalence, create_scenario
from fewshot_flair.episodes.sampler import PROTOCOLS, EpisodeSampler
from fewshot_flair.episodes.scenarios import (
    SCENARIOS,
    Realistic,
    Relaxed,
    Scenario,
    Standard,
    resolve_scenario,
)

__all__ = [
    "PROTOCOLS",
    "SCENARIOS",
    "Dirichlet",
    "EpisodeSampler",
    "Episodes",
    "MissingClass",
    "Prevalence",
    "Realistic",
    "Relaxed",
    "Scenario",
    "Standard",
    "create_scenario",
    "resolve_scenario",
]
