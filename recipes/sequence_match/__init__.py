"""SequenceMatch (arXiv 2306.05426), small: see README.md."""
