"""Make small models from scratch, for runs that begin without a pretrained model.

:mod:`.tokenizer` makes a tokenizer with one token for each number, and :mod:`.model` a randomly initialised
Qwen3 network for it.
"""
