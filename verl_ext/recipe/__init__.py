"""What a recipe does around verl's own main: before it starts, and when it has ended.

Read in this order: :mod:`.base` (when callbacks act, and how they refuse), :mod:`.callback` (reinforcement
learning), :mod:`.sft_callback` (fine-tuning); :mod:`.check` (a recipe that Hydra did not find, or in the
wrong program), :mod:`.resumption` (what went on before under a run's name), :mod:`.model_cards`.
"""
