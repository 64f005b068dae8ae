"""Streams of search (arXiv 2404.03683): a search for a Countdown answer, written out with its dead ends.

:mod:`.lines` is the language, :mod:`.strategies` the searches that write it, :mod:`.reading` reads a stream
and finds its errors, :mod:`.agreement` compares streams, and :mod:`.files` writes them for training.
"""
