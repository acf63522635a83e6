"""An activation and a loss that other processes can import."""

import math


def softsign(z):
    return z / (1 + abs(z))


def softsign_derivative(z, a):
    return (1 - abs(a)) ** 2


def log_cosh(y, prediction):
    return math.log(math.cosh(prediction - y))


def log_cosh_derivative(y, prediction):
    return math.tanh(prediction - y)
