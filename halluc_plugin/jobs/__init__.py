"""Jobs of the command line that need a model.

Read in this order: :mod:`.samplers` (opens the model that is sampled, after checking that prompts and answers
fit), :mod:`.search` (one search of a file of problems, in parts that survive an interruption), :mod:`.assess`
(predicts what taking back would be worth), :mod:`.history` (probes whether a policy decides alike in one
state), :mod:`.signals` (probes whether it knows that its text is dead).
"""
