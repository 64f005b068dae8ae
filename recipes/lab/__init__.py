"""What experiments share, from a judged answer to a page.

:mod:`.judging`, :mod:`.keeping`, :mod:`.tabulating`, :mod:`.plotting`, :mod:`.reporting`.
"""
