"""The adapter to lm-eval: tasks and models that collapse backtracks before scoring.

Read in this order: :mod:`.trace` (a model's answer as a trace), :mod:`.filters` and :mod:`.stopping` (the
text that is scored, and its cost), :mod:`.rows` (the reported rows), :mod:`.task` (a task scored on collapsed
and on raw text), :mod:`.data` and :mod:`.verified` (tasks on files of rows); :mod:`.hf_backtrack` and
:mod:`.vllm_backtrack` with :mod:`.answers` (the models). Each folder is a task or a family of them;
:mod:`.declared` makes those on generated problems from what a task declares, and :mod:`.others` does so for
other packages. :mod:`._startup` lets lm-eval find all of them, and :mod:`.doctor` and :mod:`.path_command`
extend the command ``halluc``.
"""
