"""Training: epochs with their stopping rules, L-BFGS, learning rates.

In reading order: `schedules`, `loop`, `rows`, `holdout`, `lbfgs`, `blas`.
"""
