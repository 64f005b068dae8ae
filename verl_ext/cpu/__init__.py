"""Everything that lets verl run without an accelerator; inert where there is one.

:mod:`.platform` is the CPU as a platform of verl, :mod:`.engines` offers verl's engines for it, :mod:`.refit`
takes new weights into vLLM, :mod:`.fixes` has what else verl needs.
"""
