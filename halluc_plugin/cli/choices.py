"""The values of options with a few choices, as ``--help`` lists them.

They are repeated here as literals because the enums' own modules import torch, for which help must not wait;
a test compares the values.
"""

from typing import Literal

Edits = Literal["token", "step"]
Endings = Literal["correction", "backtrack"]
Pairings = Literal["paired", "single"]
Forms = Literal["steps", "direct"]
Depths = Literal["answer", "error"]
Contexts = Literal["soft", "hard"]
Backends = Literal["auto", "hf", "vllm"]
Methods = Literal[
    "backtrack", "sample", "refine", "debate", "erase", "greedy", "beam", "breadth-first", "depth-first",
    "revise", "best-of-n", "weighted-majority", "value-beam", "ts-llm", "lats", "subpool", "draft-verify",
]  # fmt: skip
Tabus = Literal["off", "last", "first"]
Rules = Literal["mean-logprob", "majority", "summed", "confidence", "verifier", "universal"]
Arms = Literal["min-advantage", "first", "random", "likelihood"]
Betters = Literal["final", "progress"]
Reductions = Literal["last", "min", "product"]
Sayings = Literal["likelihood", "verdict"]
Labels = Literal["soft", "hard"]
Probings = Literal["each", "binary"]
Returns = Literal["normalised", "capped", "turn"]
Starts = Literal["mean", "semantic", "description", "subtokens", "random"]
ErasedTokens = Literal["mask", "keep", "weight"]
"""Imitation cannot turn against erased tokens, as reinforcement learning can."""
Divergences = Literal["kl", "chi2", "chi2-mixture"]
Objectives = Literal["value", "outcome", "verdict", "pairwise", "dpo", "ipo", "kto", "simpo"]
"""Those of scorers of steps, and the preference losses."""
PairKinds = Literal["moved", "kept", "answers", "siblings", "verify", "correct", "consensus"]
Negatives = Literal["closest", "likeliest"]
Trunks = Literal["own", "shared"]
WarmStarts = Literal["backtrack", "clean"]
"""Traces in turns are made by a recipe, not by this command line."""
Signals = Literal["entropy", "margin", "phase-shift", "linear-head", "two-layer-head", "mind"]
"""The signals by which a search can erase."""
Erasings = Literal["step", "tokens", "e3rl", "lpsr"]
Sizes = Literal["0.9M", "3M", "17M"]
