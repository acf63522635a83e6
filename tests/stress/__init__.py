"""What is too long for the suite: ``python -m tests.stress NAME``.

Each module here is one script: a docstring whose first line says what it shows, and
`main`, which prints its figures and raises where something does not hold. The suite
runs a short version of each, except of `aarch64`, whose tools it may not have.
"""
