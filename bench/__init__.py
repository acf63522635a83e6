"""fastmlp beside its peers: ``python -m bench --help``.

Read the modules in this order: `workloads` (networks and data), `contestants` (the
peers), `timing` (rounds), `fresh` (processes), `report` (rows, table, JSON, charts),
then one module for each section of the table: `training`, `activations`,
`inspection`, `callbacks`, `avx2`, `prediction`, `selection`, `start`, `growth`,
`threads`, `memory`, `real_data`; `machine` describes the CPU and measures its limits,
`__main__` runs all sections. ``pytest bench`` checks the contestants' answers.

`cluster_simulation` and `manycore` simulate more than one machine has: 1,000 workers,
and 64 cores.

`tables` stands apart: the estimators for tables by errors and times on many tables,
``python -m bench.tables --help``.
"""
