"""Does it matter whether training and decoding see the same contexts? An experiment; see README.md."""
