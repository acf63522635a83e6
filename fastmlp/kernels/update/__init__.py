"""The parameters phase: `rules` of optimizers, `groups` of parameters, and what
restrains them (`regularisation`); `training` is the record of a run.
"""
