"""skorch: its estimator without validation split and printing, batches by index."""

import torch
from skorch import NeuralNet

from bench.contestants.pytorch import (
    make_criterion,
    make_model,
    make_tensors,
    optimizer_settings,
    read_parameters,
    reset,
)
from bench.workloads import SEED


class IndexBatches:
    """Iterates over minibatches of a skorch Dataset that holds tensors.

    Replaces the DataLoader, which takes the rows one by one.
    """

    def __init__(self, dataset, batch_size):
        self._X, self._y, self._batch_size = dataset.X, dataset.y, batch_size

    def __iter__(self):
        for rows in torch.randperm(len(self._X)).split(self._batch_size):
            yield self._X[rows], self._y[rows]


class Skorch:
    def __init__(self, workload, X, y):
        torch.manual_seed(SEED)
        self._workload = workload
        self._X, self._y = make_tensors(workload, X, y)
        self._model = make_model(workload)
        optimizer, settings = optimizer_settings(workload)
        self._net = NeuralNet(
            self._model,
            criterion=make_criterion(workload),
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

    def parameters(self):
        return read_parameters(self._net.module_)
