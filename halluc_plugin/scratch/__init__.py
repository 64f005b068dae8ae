"""Small models made from scratch: a number-level tokenizer and a Qwen3 network to go with it."""
