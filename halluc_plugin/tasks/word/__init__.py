"""The word problem: from which start does a word of letters, each a fixed map of states, lead to the goal?"""

from halluc_plugin.problem_sets.search import SearchVerifier
from halluc_plugin.tasks.task import Task
from halluc_plugin.tasks.word.automaton import WordSearch
from halluc_plugin.tasks.word.problems import NAME, WordProblems

TASK = Task(name=NAME, verifier=SearchVerifier(WordSearch(), WordProblems.sources))
