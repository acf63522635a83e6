"""Training in rounds over logical replicas, whose results depend on no worker.

A fit has S replicas of the network, S a number that the user chooses. Each trains on
its own blocks of rows for a round, and the mean of all is the network of the next
round. Which worker computes what changes no bit: a replica's round is a pure function,
and the mean is taken along a fixed tree.

In reading order: `blocks` (rows checked and encoded where they are), `replicas` (a
round of one replica), `averaging` (the mean), `executors` (where tasks run),
`checkpoints`, `driver` (the plan, the rounds, failures). `fastmlp.dask` runs it on a
Dask cluster.
"""
