"""Let verl run without an accelerator; this package has no effect where there is one.

:mod:`.platform` is the CPU as a platform of verl, :mod:`.engines` offers verl's engines for it, :mod:`.refit`
loads new weights into vLLM, and :mod:`.fixes` has further changes that verl needs.
"""
