"""An experiment: SCoRe's two stages on learned policies; see README.md."""
