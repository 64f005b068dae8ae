"""An experiment: how the token starts, and how strong it is; see README.md."""
