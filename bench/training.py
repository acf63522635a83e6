"""Training: the workloads beside every contestant, each answer checked first."""

from bench.contestants import BASELINE, CONTESTANTS
from bench.contestants.estimators import Sklearn
from bench.report import Row
from bench.timing import interleave
from bench.workloads import initial_parameters, make_data, mean_loss

# How far a contestant's loss may be from scikit-learn's after the same epochs from the
# same parameters, as a share of the fall of scikit-learn's loss: other orders of the
# rows and other roundings stay below half of it, a missing epoch or minibatch does not.
TOLERANCE = 0.1


class WrongAnswer(Exception):
    """The answer of a contestant is wrong."""


def make_trainer(name, workload, **extra):
    """Return the contestant, ready to train.

    Raises
    ------
    ImportError
        If the peer is missing.
    """
    contestant = CONTESTANTS[name]
    X, y = make_data(workload, contestant.dtype)
    return contestant.load()(workload, X, y, **extra)


class Check:
    """Compares losses after training with scikit-learn's, over all rows.

    Parameters
    ----------
    workload : Workload
    """

    def __init__(self, workload):
        self._workload = workload
        self._data = make_data(workload)
        reference = Sklearn(workload, *self._data)
        reference.train()
        self.loss = self._loss(reference.parameters())
        self._fall = self._loss(initial_parameters(workload)) - self.loss

    def _loss(self, parameters):
        return mean_loss(self._workload, parameters, *self._data)

    def __call__(self, trainer):
        """Return the loss of a trainer that has trained.

        Raises
        ------
        WrongAnswer
        """
        loss = self._loss(trainer.parameters())
        if not abs(loss - self.loss) <= TOLERANCE * self._fall:
            raise WrongAnswer(f"loss {loss:.4f}, scikit-learn's is {self.loss:.4f}")
        return loss


def prepare(names, workload, progress):
    """Warm the contestants up and check them.

    Returns
    -------
    trainers : dict
        Name: trainer, of those that can be timed.
    notes : dict
        Name: its loss, or why it is not timed.
    """
    check = Check(workload)
    trainers, notes = {}, {}
    for name in names:
        progress(f"{workload.name}: {CONTESTANTS[name].label}")
        try:
            trainer = make_trainer(name, workload)
        except ImportError as error:
            notes[name] = f"missing: {error}"
            continue
        trainer.train()
        try:
            notes[name] = f"loss {check(trainer):.4f}"
        except WrongAnswer as error:
            notes[name] = f"WRONG: {error}"
        else:
            trainers[name] = trainer
    return trainers, notes


def measure(workload, settings, names, section, baseline=None):
    """Return the rows of one workload, one for each of the contestants `names`.

    Times are divided by that of `baseline`; None: by those of BASELINE.
    """
    trainers, notes = prepare(names, workload, settings.progress)
    settings.progress(f"{workload.name}: {settings.rounds} rounds")
    jobs = {name: trainer.train for name, trainer in trainers.items()}
    times = interleave(jobs, settings.rounds)
    rows = []
    for name in names:
        row = Row(section, workload.name, CONTESTANTS[name].label, note=notes[name])
        row.detail = f"epoch of {workload.describe()}"
        rows.append(row)
        if name not in times:
            continue
        row.times = times[name].per(workload.epochs)
        fastmlp = baseline or BASELINE[name]
        if fastmlp in times and name != fastmlp:
            row.ratio = times[name].best / times[fastmlp].best
        if workload.flops:
            row.flops = workload.flops / row.times.best
            peak = settings.limits.get(CONTESTANTS[name].products)
            if peak is not None:
                row.share = row.flops / peak
    return rows
