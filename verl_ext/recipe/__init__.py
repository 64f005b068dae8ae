"""Run the code of a recipe before verl's own main starts, and after it has ended.

Read in this order: :mod:`.base` (when callbacks act, and how they refuse), :mod:`.callback` (reinforcement
learning), :mod:`.sft_callback` (fine-tuning); :mod:`.check` (a recipe that Hydra did not find, or in the
wrong program), :mod:`.resumption` (earlier starts under a run's name), :mod:`.model_cards`.
"""
