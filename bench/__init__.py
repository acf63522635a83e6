"""fastmlp beside its peers: ``python -m bench --help``.

Read the modules in this order: `workloads` (networks and data), `contestants` (the
peers), `settings`, `timing` (rounds), `fresh` (processes), `report` (rows, table, JSON)
and `charts`, then one module for each section of the table: `training`, `activations`,
`inspection`, `callbacks`, `avx2`, `prediction`, `small`, `selection`, `start`,
`growth`, `threads`, `memory`, `streams`, `real_data`; `machine` describes the CPU and
measures its limits, `profile` splits the time of a step, `__main__` runs all sections,
`page` publishes a run. ``pytest bench`` checks the contestants' answers.

Apart from the table: `rounding` (scores with bfloat16), `cluster` and `replicas` (fits
in rounds). `cluster_simulation` and `manycore` simulate more than one machine has:
1,000 workers, and 64 cores.

`tables` stands apart: the estimators for tables by errors and times on many tables,
``python -m bench.tables --help``.
"""
