"""Small models made from scratch: a number-level tokenizer and a Qwen2 network to go with it."""
