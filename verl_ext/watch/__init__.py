"""Watch a run while it goes on, and stop it where verl would continue with less or wait forever.

:mod:`.drift` (engine and actor are no longer the same policy), :mod:`.rollouts` (answers fail or do not
arrive) with :mod:`.failed_answers` (their causes) and :mod:`.every_trainer` (the same in verl's own
trainers), :mod:`.sync` (the engine that should load new weights is dead). :mod:`.fine_tuning` reports the
progress of verl's SFT trainer.
"""
