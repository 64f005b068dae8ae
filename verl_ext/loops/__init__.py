"""Agent loops: a prompt becomes ids, as the engine sampled them, with what the edits made of them beside.

:mod:`.backtrack` is one generation, :mod:`.refinement` the baseline in two turns; :mod:`.continuations`
samples answers from states on the way, :mod:`.seeds` gives each sample its seed. verl imports
:mod:`.registered`. What an answer carries from here on is named in :mod:`verl_ext.columns`.
"""
