"""GSM8K with the eight worked examples of the chain-of-thought paper."""
