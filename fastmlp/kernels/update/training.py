"""The record of a training run: its settings, and the results."""

import numpy as np

from ..simd.llvm import reader

TRAINING = np.dtype(
    [
        # -- the network: addresses of records, and of the memory --
        ("memory", np.int64),
        ("contexts", np.int64),  # an `ops.base.CONTEXT` for each thread
        ("operations", np.int64),  # int64 addresses of their records
        ("n_operations", np.int64),
        ("head", np.int64),
        ("losses", np.int64),  # address of the minibatch's losses, float64
        ("blocks", np.int64),
        ("n_blocks", np.int64),
        ("shares", np.int64),  # bounds of each thread's blocks, see `step.run_epoch`
        ("most_threads", np.int64),
        ("width", np.int64),  # columns of a panel
        # -- the run --
        ("n_epochs", np.int64),  # at most
        ("n_rows", np.int64),
        ("batch", np.int64),  # rows of a minibatch
        # Address of `rules.Optimizer.steps`, a row for each step of each epoch; steps
        # of an epoch; the number of the first one.
        ("steps", np.int64),
        ("n_steps", np.int64),
        ("step", np.int64),
        # Address of the rows' indices in the order of the first epoch, int64, and how
        # far behind it that of the next epoch lies, in bytes.
        ("orders", np.int64),
        ("orders_jump", np.int64),
        # 1: minibatches count with their mean loss; 0: with the sum of losses.
        ("mean", np.int64),
        ("clock", np.int64),  # address of each thread's clock; 0: not timed
        ("flushes", np.int64),  # 1: subnormal numbers count as 0
        # -- the update: penalties and bounds --
        ("alpha", np.float64),
        ("l1", np.float64),
        ("clip_norm", np.float64),
        ("max_norm", np.float64),
        # Addresses of compiled callbacks, and of the rule's settings.
        ("update", np.int64),
        ("constrain", np.int64),
        ("average", np.int64),  # 0: parameters are not averaged
        ("settings", np.int64),
        # How far behind its parameter each moment of the optimizer, the kept gradient
        # (0: none) and the parameter's average lie, in bytes.
        ("first_moment", np.int64),
        ("second_moment", np.int64),
        ("gradient", np.int64),
        ("averaged", np.int64),
        ("averaging", np.float64),  # share of the average that a step keeps
        # Address of each thread's tiles of gradient, and bytes of a tile.
        ("tiles", np.int64),
        ("tile_bytes", np.int64),
        # Addresses of each block's sum of squares times its group's factor, and of its
        # column sums with the bytes from block to block (0: there are none).
        ("penalty", np.int64),
        ("sums", np.int64),
        ("sums_jump", np.int64),
        # The sweeps over the blocks that a step takes in this run, see
        # `step.run_epoch`.
        ("first_sweep", np.int64),
        ("last_sweep", np.int64),
        ("final_sweep", np.int64),  # the one that finishes blocks
        # -- the end of training by the loss, see `epochs` --
        ("losses_of_epochs", np.int64),  # address, float64; 0: epochs are not judged
        ("bytes_of_number", np.int64),
        ("n_parameters", np.int64),
        ("tol", np.float64),
        ("patience", np.float64),
        ("best_loss", np.float64),
        ("waited", np.int64),  # epochs since the last improvement
        # -- results --
        ("n_done", np.int64),  # epochs of this run that are complete
        ("ending", np.int64),  # see `epochs`
        # Of the last epoch: the sum of the losses, and the rows of the minibatches that
        # were not passed over; -1: it did not come to its end.
        ("total", np.float64),
        ("visited", np.int64),
    ],
    align=True,
)
training_at = reader(TRAINING)
