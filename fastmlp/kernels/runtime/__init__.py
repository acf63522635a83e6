"""Threads: which cores there are, how threads meet, and how many a job takes.

In reading order: `core_budget` (cores, and how runs of one process share them),
`barrier` (where compiled code waits), `team` (the threads that train one network),
`helpers` (threads that help to predict, and stay awake for the next prediction),
`thread_tuner` (the number of threads that turned out fastest). Threads are Python's;
there is no OpenMP, which aborts in forked children.
"""
