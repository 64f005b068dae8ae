"""Agent loops: they turn a prompt into ids as the engine sampled them, with what the edits did.

:mod:`.backtrack` is one generation, :mod:`.refinement` the baseline in two turns, :mod:`.resets` suffixes
from a state of a failed answer; :mod:`.continuations`
samples answers from states on the way, :mod:`.seeds` gives each sample its seed. verl imports
:mod:`.registered`. :mod:`verl_ext.columns` names the columns that an answer carries from here on.
"""
