"""An experiment: debate and training on consensus against votes of as many sampled tokens; see README.md."""
