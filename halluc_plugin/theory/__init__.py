"""The theory of backtracking in executable form: closed forms, and simulations that check them.

Read in this order: :mod:`.recovery` (how often a checked chain comes out right), :mod:`.final_errors` (how
many errors stay in it), :mod:`.regret` (how the price of an error grows with the horizon), :mod:`.mod10`
(retries against best-of-N), :mod:`.credit` (where rewards and credit push a policy), :mod:`.search_law` (what
taking back dead ends gains, depending on what :mod:`.proposals` remember; closed forms are in :mod:`.tries`,
parallel samples in :mod:`.parallel`, and :mod:`.search_process` checks it). The first three explain where the
usual statement of their bound is wrong. :mod:`.studies` and :mod:`.search_study` compare closed form and
simulation (:mod:`.estimates`, with intervals; :mod:`.study` holds the numbers), :mod:`.figures` draws the
comparison; ``halluc theory`` does both.

What the notes state without proof is true, mended or refuted in :mod:`.stopping` (when to go back),
:mod:`.group_gradient` (division by the deviation), :mod:`.convergence` and :mod:`.discovery` (rates, and
what stages save); :mod:`.notes_studies` compares these.

"The usual statement" means the theory notes of the Halluc project (``docs/research/theory/storyline.md`` of
github.com/Tianyi-Billy-Ma/Halluc, January 2026): its sections 3.1 and 3.2 and its Theorem 1.
"""

from halluc_plugin.theory.estimates import Estimate, Mean
from halluc_plugin.theory.final_errors import erasure_precision, expected_final_errors, usual_bound
from halluc_plugin.theory.mod10 import Mod10, Retry, simulate_solved, simulate_tokens
from halluc_plugin.theory.recovery import ChainRuns, CheckedChain, simulate_chain
from halluc_plugin.theory.regret import (
    EditWalk,
    Undo,
    expected_regret,
    growth_exponent,
    regret_rate,
    simulate_regret,
    simulated_exponent,
)
from halluc_plugin.theory.search_law import SearchLaw, Unit
from halluc_plugin.theory.search_process import simulate_search

__all__ = [
    "ChainRuns",
    "CheckedChain",
    "EditWalk",
    "Estimate",
    "Mean",
    "Mod10",
    "Retry",
    "SearchLaw",
    "Undo",
    "Unit",
    "erasure_precision",
    "expected_final_errors",
    "expected_regret",
    "growth_exponent",
    "regret_rate",
    "simulate_chain",
    "simulate_regret",
    "simulate_search",
    "simulate_solved",
    "simulate_tokens",
    "simulated_exponent",
    "usual_bound",
]
