"""What the data sets of tasks share: splits, files of problems, and raw traces with errors in them.

Read in this order: :mod:`.options` (fields of dataclasses that are options of a command), :mod:`.data_set`
(the interface of every data set), :mod:`.splits` (which split a problem belongs to), :mod:`.weights` (kinds
drawn by weight), :mod:`.raw_traces` (where an error begins, and how it is taken back), :mod:`.files` (the
files and the card of a data set); :mod:`.steps`, :mod:`.step_traces` and :mod:`.step_files` (the same for
answers in steps); :mod:`.search`, :mod:`.search_files`, :mod:`.search_trace_settings` and
:mod:`.search_traces` (problems that are searched, and traces through dead ends); :mod:`.references` (traces
of any data set with reference answers).
"""
