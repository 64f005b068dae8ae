"""Compute how many errors stay in the final answer, counted over all written tokens.

Let W tokens be written in all, rewritten ones included, of which W_bad are wrong. Let recall r be the share
of the wrong tokens that were erased, and *specificity* s the share of the right ones that were kept, both
over all written tokens. Then

    final errors       = W_bad (1 - r)
    final right tokens = (W - W_bad) s

hold for every trace by definition, since a token is either erased or not. If every attempt is wrong with
probability e and erased tokens are attempted again until L are kept (the chain of :mod:`.recovery`, f = 1 -
s), W has mean L/k with k = (1 - e)s + e(1 - r), of which a share e is wrong, and so

    E[final errors] = L e (1 - r) / k.

The usual statement is wrong. Theorem 1 of the notes reads

    E[N_errors] <= N_initial (1 - r) + N_correct (1 - p)      "with precision p and recall r".

(1) Its p is the specificity. 1 - p multiplies the *right* tokens, so p must be the share of right tokens
    that are kept. Precision is the share of *erased* tokens that were wrong; at e = 0.05, r = 0.8, s = 0.95
    it is 0.457, and the "bound" counts more than half of the right tokens as errors.
(2) An erased right token is not an error in the final answer. It is written again: it costs a token and a
    backtrack, and only the share e (1 - r) / k of such positions ends up wrong. The second term, N_correct
    (1 - p), is an error count only if nothing is rewritten, and then the answer has holes.
(3) The rewritten tokens can be wrong again. N_initial counts the errors of a first pass; over all written
    tokens there are 1/k times as many. So with s = 1 the right side is *too small*: L e (1 - r) < L e (1 -
    r) / (1 - e r), and "<=" is false.
"""

import math

from halluc_plugin.theory.estimates import check_share
from halluc_plugin.theory.recovery import CheckedChain


def expected_final_errors(chain: CheckedChain) -> float:
    """Return the expected number of wrong steps in the final answer, L e (1 - r) / k.

    Steps are counted one by one: a step after a wrong one is wrong only by its own error. :mod:`.regret`
    treats the effect of an early error on later steps.
    """
    return chain.written * chain.error * (1 - chain.recall)


def erasure_precision(chain: CheckedChain) -> float:
    """Return the share of the erased steps that were wrong, e r / (e r + (1 - e) f).

    The result is nan if none is ever erased.
    """
    good = chain.error * chain.recall
    erased = good + (1 - chain.error) * chain.false_alarm
    return good / erased if erased else math.nan


def usual_bound(chain: CheckedChain, p: float) -> float:
    """Return the right side of Theorem 1 of the notes, L e (1 - r) + L (1 - e)(1 - p).

    It is not a bound; the module docstring explains why.

    Args:
        chain: The chain, which gives N_initial = L e, N_correct = L (1 - e) and the recall.
        p: The value of p: the precision, as the notes say, or the specificity, as their proof needs.

    Raises:
        SettingsError: ``p`` is outside [0, 1].
    """
    check_share("p", p)
    return chain.length * (chain.error * (1 - chain.recall) + (1 - chain.error) * (1 - p))
