"""fastmlp beside its peers: ``python -m bench --help``.

Read the modules in this order: `workloads` (what is trained), `contestants` (who trains
it), `timing` (rounds), `fresh` (processes), `report` (rows, table, JSON, charts), then
one module for each section of the table: `training`, `activations`, `inspection`,
`callbacks`, `avx2`, `prediction`, `selection`, `start`, `growth`, `threads`, `memory`,
`real_data`; `machine` says where it ran and what the limit is, `__main__` runs them
all. ``pytest bench`` checks the contestants' answers.
"""
