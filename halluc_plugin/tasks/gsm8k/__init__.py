"""Word problems of grade school (GSM8K), which come from the hub or a path and are not drawn.

Their lm-eval task asks as lm-eval's own does, with its examples and its rules for numbers: it is written by
hand, in the adapter.
"""

from halluc_plugin.tasks.gsm8k.verifier import Gsm8kVerifier
from halluc_plugin.tasks.task import JudgedBy, Task

TASK = Task(name="gsm8k", verifier=Gsm8kVerifier(), judged_by=JudgedBy.HOST)
