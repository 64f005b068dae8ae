"""The code that runs inside vLLM's engine processes, loaded by name; docs/engine.md explains its use.

Read in this order: :mod:`.request` (the edit settings of one request) and :mod:`.launch` (the arguments of an
engine), which need no vLLM; :mod:`.gate` (what a request may sample next), :mod:`.follow` (a batch of such
requests), :mod:`.budget` and :mod:`.bans` (the logits processors of soft and of hard context),
:mod:`.erasing` (signals that take text back), :mod:`.known_ids` (of either context); :mod:`.rewind` (takes
back a request's ids and KV blocks), :mod:`.scheduler` (decides when); :mod:`.requirements` and :mod:`.compat`
(what is refused); :mod:`.equivalence` and :mod:`.trial` (tests of exactness). :mod:`.sampler` lets searches
sample from an engine, :mod:`.serving` gives clients of a server collapsed text (:mod:`.served` describes the
server), and :mod:`.metadata` provides the package name by which hosts know vLLM.
"""
