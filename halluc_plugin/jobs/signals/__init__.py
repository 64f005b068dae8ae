"""Measure whether a signal inside a model tells that the live text is dead, and how long before its token.

Read in this order: :mod:`.asked` (the settings, and the names of signals), :mod:`.places` (answers that are
sampled and judged, and the places in them), :mod:`.reading` (the value of each signal at each place) with
:mod:`.continued` (signals of several continuations) and :mod:`.unsupervised` (MIND's labels),
:mod:`.calibration` (thresholds), :mod:`.measures` (AUROC, average precision, lead time), :mod:`.job`
(everything in its order).
"""
