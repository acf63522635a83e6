"""skorch without its validation split and its printing, with batches by index."""

import torch
from skorch import NeuralNet

from bench.contestants.pytorch import Torch, optimizer_settings, reset


class IndexBatches:
    """Iterates over minibatches of a skorch Dataset that holds tensors.

    Replaces the DataLoader, which takes the rows one by one.
    """

    def __init__(self, dataset, batch_size):
        self._X, self._y, self._batch_size = dataset.X, dataset.y, batch_size

    def __iter__(self):
        for rows in torch.randperm(len(self._X)).split(self._batch_size):
            yield self._X[rows], self._y[rows]


class Skorch(Torch):
    """skorch's `NeuralNet` on PyTorch's model, tensors and optimizer."""

    def __init__(self, workload, X, y):
        super().__init__(workload, X, y)
        optimizer, settings = optimizer_settings(workload)
        self._net = NeuralNet(
            self._model,
            criterion=self._criterion,
            optimizer=optimizer,
            max_epochs=workload.epochs,
            batch_size=workload.batch,
            iterator_train=IndexBatches,
            train_split=None,
            callbacks__print_log=None,
            verbose=0,
            **{f"optimizer__{name}": value for name, value in settings.items()},
        )

    def train(self):
        reset(self._model, self._workload)
        self._net.fit(self._X, self._y)
