"""What watches a run while it goes on, and stops it where verl would go on with less, or wait for ever.

:mod:`.drift` (engine and actor are no longer the same policy), :mod:`.rollouts` (answers fail or do not come)
with :mod:`.failed_answers` (why) and :mod:`.every_trainer` (in trainers that are not ours, too), :mod:`.sync`
(the engine that is to take new weights is dead). :mod:`.fine_tuning` tells how far verl's SFT trainer is.
"""
