"""Traces made from a model's own samples: its errors, found and taken back.

Read in this order: :mod:`.aligned` (errors found by aligning samples with references),
:mod:`.corrections` (answers that were judged wrong, taken back, with right ones after them),
:mod:`.correction_files` (the files of those). Errors that are invented are in :mod:`halluc_plugin.traces`
and in the folders of :mod:`halluc_plugin.tasks`.
"""
