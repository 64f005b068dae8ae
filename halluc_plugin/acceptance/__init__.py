"""Try on a machine with an accelerator what tests elsewhere try on a CPU: ``scripts/accept_gpu.sh``.

:mod:`.hf` has the checks that need torch and transformers alone, on random models made in place;
:mod:`.verl` those that need verl and vLLM. :mod:`.record` runs the checks one after the other and writes one
JSON file with hardware, versions, outcomes, figures and seconds. :mod:`.policies` makes the models and raw
traces, :mod:`.padded` is the oracle of packed rows, :mod:`.peaks` measures memory.
"""
