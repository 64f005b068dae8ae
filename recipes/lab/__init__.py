"""The common parts of experiments, from a judged answer to a page of results.

They are :mod:`.judging`, :mod:`.keeping`, :mod:`.tabulating`, :mod:`.plotting`, :mod:`.forest` and
:mod:`.reporting`.
"""
