"""Solutions labelled with their first wrong step: is it taken back, and are the others left alone?"""
