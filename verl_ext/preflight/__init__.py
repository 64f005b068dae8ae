"""Checks of a run before any worker starts: each failure is one clear message.

Read in this order: :mod:`.checks` (all of them, in order), :mod:`.names` (do verl's names still lead to us?),
:mod:`.parts` (would a setting of ours be passed over?), :mod:`.rows` (the data files), :mod:`.judges` (who
says what is right), :mod:`.models` (the run's own models). Settings of verl beside ours are data, in
:mod:`verl_ext.host_settings`.
"""
