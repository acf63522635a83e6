"""Estimators for tables beside their peers: ``python -m bench.tables --help``.

Read the modules in this order: `data` (tables, test rows), `models` (fastmlp and the
peers), `runs` (one fit and its scores), `records` (the file of all runs), `summary`
(records as tables), `scaling` (time and memory by rows), `ablation` (fastmlp with
one ingredient changed).

All models have their default parameters and get the same frame, with numbers,
categories and missing values: what they need besides is a part of their fit.
"""
