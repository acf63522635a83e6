"""Training in rounds over logical replicas, whose results depend on no worker.

A fit has S replicas of the network, S a number that the user chooses. Each trains on
its own blocks of rows for a round, and the mean of all is the network of the next
round. The bits are the same whichever worker computes a round: that is a pure function,
and the mean is taken along a fixed tree.

In reading order: `driver` (a fit in one screen), `plan` (blocks, problem, replicas),
`rounds` (the engines that `training` sees), `tasks` (retries and deadlines), `replicas`
(a round of one replica), `blocks` (rows checked and encoded where they are),
`averaging` (the mean), `checkpoints`, `executors` (where tasks run), `tables` (networks
on folds). `fastmlp.dask` runs them on a Dask cluster.
"""
