"""Small models made from scratch, for runs that begin from nothing.

:mod:`.tokenizer` makes a tokenizer with one token for each number, :mod:`.model` a Qwen3 network to go with
it, randomly initialised.
"""
