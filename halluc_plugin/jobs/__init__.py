"""Jobs of the command line that need a model.

Read in this order: :mod:`.samplers` (opens the model that is sampled, after a check that what is asked of it
fits), :mod:`.search` (one search of a file of problems, in parts that an interrupted run keeps),
:mod:`.assess` (what taking back would be worth), :mod:`.history` (does a policy decide alike in one state?).
"""
