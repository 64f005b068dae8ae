"""Search at test time: answers are expanded, rolled back where the model takes back, and selected.

Read in this order: :mod:`halluc_plugin.sampling.states` (a response being written, and what a search asks of
a model), :mod:`halluc_plugin.sampling.driver` (runs many searches on one sampler), :mod:`.backtracking`
(Self-Backtracking, arXiv 2502.04404), :mod:`.refining` (ReVISE, arXiv 2502.14565), :mod:`.debating` (copies
that read one another, arXiv 2305.14325), :mod:`.baselines` (greedy, and steps breadth-first and depth-first),
:mod:`.beams` (beam search), :mod:`.selection` (which answer is given), :mod:`.answers` (the judged answers,
and their cost).

The searches that values of steps guide are in :mod:`.guided` (their common parts), :mod:`.revision`
(Algorithm 1 of OpenReview hJ2BCYGvFg), :mod:`.ranking` (best-of-N and weighted majority),
:mod:`.value_beams`, :mod:`.trees` (TS-LLM and LATS), :mod:`.pools` (stochastic backtracking),
:mod:`.drafting` (a cheaper model's steps, accepted or taken back).

:mod:`halluc_plugin.jobs.search` runs these searches for a file of problems.
"""

from halluc_plugin.sampling.driver import Cost, Found, Sampler, run
from halluc_plugin.sampling.independent import independent
from halluc_plugin.sampling.states import End, Request, Response, Sample, Space
from halluc_plugin.search.backtracking import self_backtracking
from halluc_plugin.search.baselines import breadth_first, depth_first, greedy
from halluc_plugin.search.debating import debating
from halluc_plugin.search.refining import refining
from halluc_plugin.search.selection import Rule, select

__all__ = [
    "Cost",
    "End",
    "Found",
    "Request",
    "Response",
    "Rule",
    "Sample",
    "Sampler",
    "Space",
    "breadth_first",
    "debating",
    "depth_first",
    "greedy",
    "independent",
    "refining",
    "run",
    "select",
    "self_backtracking",
]
