"""Make a Hugging Face folder from a pretrained model that a Python package ships as a GGUF file.

:mod:`.packages` finds the file of an installed package, :mod:`.gguf_files` reads what it is, and
:mod:`.unpacking` writes model and tokenizer below ``HALLUC_HOME``. Nothing is downloaded.
"""
