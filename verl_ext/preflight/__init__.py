"""Check a run before any worker starts; each failure is one clear message.

Read in this order: :mod:`.checks` (all of them, in order), :mod:`.names` (do the registered names still lead
to halluc?), :mod:`.parts` (would a setting be ignored?), :mod:`.rows` (the data files), :mod:`.judges` (what
judges answers), :mod:`.models` (the run's own models). The settings of verl that are refused are data, in
:mod:`verl_ext.host_settings`.
"""
