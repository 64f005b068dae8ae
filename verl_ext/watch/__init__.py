"""Watch a run while it goes on, and stop it where verl would continue with less or wait forever.

:mod:`.rollouts` (answers fail or do not arrive) with :mod:`.failed_answers` (their causes) and
:mod:`.every_trainer` (the same in verl's own trainers), :mod:`.sync` (the engine that should load new weights
is dead). :mod:`.fine_tuning` reports the progress of verl's SFT trainer. Whether engine and actor are still
the same policy is :mod:`halluc_plugin.rl.drift`'s to say.
"""
