"""Training: epochs with their stopping rules, L-BFGS, learning rates.

In reading order: `schedules`, `rows`, `holdout`, `loop`, `blas`, `lbfgs`.
"""
