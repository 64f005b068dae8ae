"""Does `halluc assess` predict what training on edits comes to? An experiment; see README.md."""
