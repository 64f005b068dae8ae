"""What runs inside vLLM's engine processes, loaded by name; docs/engine.md says how to use it.

Read in this order: :mod:`.request` (what one request asks for) and :mod:`.launch` (what an engine is started
with), which need no vLLM; :mod:`.gate` (what a request may sample next), :mod:`.follow` (a batch of them),
:mod:`.budget` and :mod:`.bans` (the logits processors of soft and of hard context), :mod:`.known_ids` (that
of any); :mod:`.rewind` (a request's ids and KV blocks taken back), :mod:`.scheduler` (when);
:mod:`.requirements` and :mod:`.compat` (what is refused); :mod:`.equivalence` and :mod:`.trial` (how it is
shown to be exact). :mod:`.sampler` lets searches sample from an engine, :mod:`.serving` gives clients of a
server collapsed text (:mod:`.served` is what must be known of it), and :mod:`.metadata` answers to the name
that hosts know vLLM by.
"""
