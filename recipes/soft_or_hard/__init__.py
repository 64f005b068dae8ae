"""An experiment: does it matter whether training and decoding see the same contexts? See README.md."""
