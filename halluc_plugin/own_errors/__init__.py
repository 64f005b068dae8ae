"""What is made of a model's own samples: its errors, found and taken back; values of its steps.

Read in this order: :mod:`.aligned` (errors found by aligning samples with references),
:mod:`.corrections` (answers that were judged wrong, taken back, with right ones after them),
:mod:`.correction_files` (the files of those), :mod:`.step_values` (answers with a value of each step, for
process reward models). Errors that are invented are in :mod:`halluc_plugin.traces`
and in the folders of :mod:`halluc_plugin.tasks`.
"""
