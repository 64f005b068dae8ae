"""An experiment: SequenceMatch (arXiv 2306.05426) on a small scale. See README.md."""
