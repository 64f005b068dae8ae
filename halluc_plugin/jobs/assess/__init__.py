"""Assess whether taking back would pay for a model, before any training on edits.

Read in this order: :mod:`.steps` (answers cut into steps, judged by the oracle), :mod:`.records` and
:mod:`.sampling` (what is recorded for a problem, and how it is sampled), :mod:`.measures` and :mod:`.signals`
(rates of slips and dead ends, what retries are worth, whether dead can be told from live),
:mod:`.predictions` (the search law with these numbers, with samples at as many tokens), :mod:`.advice` and
:mod:`.plot` (the advice and the figure), :mod:`.job` (the whole assessment, kept on disk with date and hash).
"""
