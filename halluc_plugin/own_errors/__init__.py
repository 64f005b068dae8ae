"""Make training data from a model's own samples: its errors taken back, and values of its steps.

Read in this order: :mod:`.aligned` (errors found by aligning samples with references), :mod:`.corrections`
(answers that were judged wrong, taken back, with right ones after them), :mod:`.correction_files` (the files
of these), :mod:`.step_values` (answers with a value of each step, for process reward models),
:mod:`.contrast_rows`, :mod:`.pair_rows` and :mod:`.opposite_prompts` (pairs of which one side is preferred).
Synthetic
errors are in :mod:`halluc_plugin.traces` and in the folders of :mod:`halluc_plugin.tasks`.
"""
