"""The word problem: which start does a word of fixed maps lead to the goal?"""
