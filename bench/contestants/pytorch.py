"""PyTorch: tensors made once, batches by index, fused optimizer, no DataLoader."""

import shutil
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
import torch
from torch import nn

from bench.workloads import SEED, initial_parameters

# scikit-learn's default penalty, which it divides by the rows of a minibatch.
ALPHA = 1e-4

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "logistic": nn.Sigmoid}


def make_model(workload):
    """Return the network as nn.Sequential, without an output activation."""
    layers = []
    for n, m in pairwise(workload.units):
        layers += [nn.Linear(n, m), ACTIVATIONS[workload.activation]()]
    model = nn.Sequential(*layers[:-1])
    reset(model, workload)
    return model


def reset(model, workload):
    """Give the model its initial parameters, in place."""
    linear = [layer for layer in model if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for layer, (W, b) in zip(linear, initial_parameters(workload), strict=True):
            layer.weight.copy_(torch.from_numpy(W.T))
            layer.bias.copy_(torch.from_numpy(b))


def read_parameters(model):
    """Return the model's parameters as a list of (W, b)."""
    linear = [layer for layer in model if isinstance(layer, nn.Linear)]
    return [(x.weight.detach().numpy().T, x.bias.detach().numpy()) for x in linear]


def make_criterion(workload):
    if workload.regression:
        return nn.MSELoss()
    return nn.BCEWithLogitsLoss() if workload.units[-1] == 1 else nn.CrossEntropyLoss()


def optimizer_settings(workload):
    """Return the optimizer's class and its keywords."""
    common = {"lr": workload.rate, "weight_decay": ALPHA / workload.batch}
    if workload.momentum is None:
        return torch.optim.Adam, common | {"fused": True}
    momentum = {"momentum": workload.momentum, "nesterov": True, "fused": True}
    return torch.optim.SGD, common | momentum


def make_tensors(workload, X, y):
    """Return X and y as tensors; a sparse X is made dense, which is faster here."""
    X = X.toarray() if sp.issparse(X) else X
    X, y = torch.from_numpy(X), torch.from_numpy(np.ascontiguousarray(y))
    if workload.regression or workload.units[-1] == 1:
        y = y.to(X.dtype).reshape(len(X), -1)
    return X, y


class Torch:
    """The loop of PyTorch's tutorials, without its slow parts."""

    def __init__(self, workload, X, y):
        torch.manual_seed(SEED)
        self._workload = workload
        self._X, self._y = make_tensors(workload, X, y)
        self._model = make_model(workload)
        self._criterion = make_criterion(workload)
        self._loss = self._compile(self._loss_of)

    def _compile(self, function):
        return function

    def _loss_of(self, X, y):
        return self._criterion(self._model(X), y)

    def train(self):
        workload, X, y = self._workload, self._X, self._y
        reset(self._model, workload)
        make_optimizer, settings = optimizer_settings(workload)
        optimizer = make_optimizer(self._model.parameters(), **settings)
        for _ in range(workload.epochs):
            for rows in torch.randperm(len(X)).split(workload.batch):
                optimizer.zero_grad()
                self._loss(X[rows], y[rows]).backward()
                optimizer.step()

    def parameters(self):
        return read_parameters(self._model)


class BFloat16Torch(Torch):
    """The same with the network in bfloat16 where PyTorch's autocast has it so."""

    def _loss_of(self, X, y):
        with torch.autocast("cpu", torch.bfloat16):
            output = self._model(X)
        return self._criterion(output.float(), y)


class CompiledTorch(Torch):
    """The same with network and loss through `torch.compile`."""

    def __init__(self, workload, X, y):
        if not (shutil.which("g++") or shutil.which("clang++")):
            raise ImportError("torch.compile needs a C++ compiler")
        super().__init__(workload, X, y)

    def _compile(self, function):
        # One version for whole minibatches and one for the last of an epoch.
        return torch.compile(function, dynamic=False)
