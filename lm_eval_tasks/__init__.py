"""The adapter to lm-eval: tasks and models that collapse backtracks before scoring.

Read in this order: :mod:`.trace` (what a model answered, as a trace), :mod:`.filters` and :mod:`.stopping`
(which text is scored, and what it cost), :mod:`.rows` (what is reported), :mod:`.task` (a task scored on
collapsed and on raw text), :mod:`.data` and :mod:`.verified` (tasks on files of rows);
:mod:`.hf_backtrack` and :mod:`.vllm_backtrack` with :mod:`.answers` (the models). Each folder is a task or a
family of them; :mod:`.declared` makes those on generated problems from what a task declares, and
:mod:`.others` does so for other packages. :mod:`._startup` lets lm-eval find all of them, and :mod:`.doctor`
and :mod:`.path_command` are what the adapter adds to ``halluc``.
"""
