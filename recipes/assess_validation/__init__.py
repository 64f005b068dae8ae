"""An experiment: does `halluc assess` predict what training on edits leads to? See README.md."""
