"""A lesson: data, a network that is trained step by step, and its frames."""

import pickle
import time
import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from fastmlp.estimators import MLPClassifier, MLPRegressor
from fastmlp.estimators._parameters import parameter_defaults
from fastmlp.inspection import layer_outputs, sample_losses
from fastmlp.playground import datasets, measures, pictures
from fastmlp.playground.datasets import Data
from fastmlp.playground.features import columns
from fastmlp.playground.frames import pack
from fastmlp.playground.learners import Epochs, Iterations
from fastmlp.playground.program import (
    Changed,
    Edit,
    Made,
    Recorder,
    Trained,
    Weight,
    append,
)
from fastmlp.playground.state import OWN, InvalidSetting, State, make_fields, merge

# Settings after whose change data are drawn, a network starts from new weights, or the
# optimizer starts anew. The others only change the coming steps.
OF_DATA = {"problem", "data", "noise", "test_share", "data_seed", "n_points"}
OF_NETWORK = {
    "features", "hidden_layer_sizes", "activation", "init", "random_state", "solver",
    "loss",
}  # fmt: skip
OF_OPTIMIZER = {"learning_rate_init", "learning_rate", "max_iter"}

MOST_WEIGHT = 1000.0

# Of a frame.
MOST_EPOCHS = 1000


class Session:
    """One user's network.

    Attributes
    ----------
    state : State
    data : Data
    epoch : int
        Epochs since the network started, or iterations of 'lbfgs'.
    converged : bool
        True once 'lbfgs' has found a minimum.
    diverged : str or None
        Why training cannot go on with these settings, and the remedy.
    """

    state: State
    data: Data
    epoch: int
    converged: bool
    diverged: str | None
    _statements: list[Any]
    _rows: tuple[np.ndarray, np.ndarray]
    _recorder: Recorder
    _learner: Epochs | Iterations

    def __init__(self) -> None:
        self.state = State()
        self._draw(self.state)
        self._start()

    @property
    def model(self) -> Any:
        """The fitted estimator."""
        return self._learner.model

    # -- settings and data -------------------------------------------------------------

    def set(self, changes: Any) -> bool:
        """Change some settings; return whether training starts anew.

        Raises
        ------
        InvalidSetting
            If one is not valid. Nothing has changed then.
        """
        before, after = self.state, merge(self.state, changes)
        changed = before.changed(after)
        if changed & OF_DATA:
            self._draw(after)
        self.state = after
        if changed & (OF_DATA | OF_NETWORK):
            self._start()
        elif changed:
            self._change(restart=bool(changed & OF_OPTIMIZER))
        return self.epoch == 0

    def reset(self) -> None:
        """Start anew with the same weights."""
        self._start()

    def new_data(self) -> None:
        """Draw other data, or of own data other test rows, and start anew."""
        self.set({"data_seed": self.state.data_seed + 1})

    def edit_points(
        self, add: Any = None, move: Any = None, remove: Any = None
    ) -> bool:
        """Edit the data, see `datasets.edited`; return whether training starts anew.

        It does for another class.
        """
        rows = {"add": add, "move": move, "remove": remove}
        rows = {name: each for name, each in rows.items() if each}
        data, before = datasets.edited(self.data, **rows), self.data
        self.data, self.state = data, replace(self.state, data=OWN)
        append(self._statements, Edit(rows))
        if data.classes != before.classes:
            self._start()
        else:
            append(self._recorder.steps, Edit(rows))
            self._take_rows()
            self._learner.edited()
            self._change()
        return self.epoch == 0

    def load_csv(self, text: str) -> None:
        """Take a table as data, see `datasets.from_csv`, and start anew."""
        arguments = text, self.state.test_share, self.state.data_seed
        self.data = datasets.from_csv(*arguments)
        self._statements = [_data_from("datasets.from_csv", arguments)]
        state = replace(self.state, data=OWN, problem=self.data.problem)
        self.state = merge(state, {})
        self._start()

    def _draw(self, state):
        """Draw the data of a state; of own points the rows to test on."""
        if state.data != OWN:
            arguments = (
                state.data, state.n_points, state.noise, state.test_share,
                state.data_seed,
            )  # fmt: skip
            self.data = datasets.make(*arguments)
            self._statements = [_data_from("datasets.make", arguments)]
            return
        if state.problem != self.data.problem:
            raise InvalidSetting(
                "problem",
                f"The points are for {self.data.problem}: choose other data.",
            )
        drawn = state.test_share, state.data_seed
        self.data = datasets.split_anew(self.data, *drawn)
        call = _data_from("datasets.split_anew", drawn)
        self._statements.append(call.replace("(", "(data, ", 1))

    # -- training ----------------------------------------------------------------------

    def edit_weight(self, layer: Any, row: Any, column: Any, value: Any) -> bool:
        """Set a weight, or with row -1 a bias; return whether training starts anew.

        Raises
        ------
        InvalidSetting
            If there is no such weight, or the value is not a number of moderate size.
        """
        coefs, intercepts = self.model.coefs_, self.model.intercepts_
        if not (
            all(isinstance(each, int) for each in (layer, row, column))
            and 0 <= layer < len(coefs)
            and -1 <= row < len(coefs[layer])
            and 0 <= column < len(intercepts[layer])
        ):
            raise InvalidSetting(
                "edit", f"There is no weight {row!r}, {column!r} in layer {layer!r}."
            )
        if not isinstance(value, int | float) or not abs(value) <= MOST_WEIGHT:
            raise InvalidSetting(
                "value",
                f"A weight must be a number from {-MOST_WEIGHT:g} to {MOST_WEIGHT:g}, "
                f"got {value!r}.",
            )
        if row < 0:
            intercepts[layer][column] = value
        else:
            coefs[layer][row, column] = value
        if self.epoch:
            step = Weight(layer, row, column, float(value))
            append(self._recorder.steps, step)
            self._learner.edited()
        else:
            lists = [[each.tolist() for each in part] for part in (coefs, intercepts)]
            self._start(tuple(lists))
        self.converged, self.diverged = False, None
        return self.epoch == 0

    def train(self, epochs: int = 1, budget: float | None = None) -> np.ndarray:
        """Train for some epochs, or fewer if they take too long or training ends.

        Parameters
        ----------
        epochs : int, default=1
        budget : float or None, default=None
            Milliseconds after which no other epoch begins.

        Returns
        -------
        curves : (n_epochs, 3) float32 array
            Rate of each epoch, and loss on the training and on the test rows after it;
            NaN where there is none.
        """
        curves: list[tuple[float, float, float]] = []
        end = np.inf if budget is None else time.perf_counter() + budget / 1000
        # The warnings are expected: too few iterations to converge, a schedule that has
        # ended, numbers that overflow before training diverges.
        with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
            while len(curves) < epochs and self._step():
                losses = sample_losses(self.model, self._X, self.data.targets)
                curves.append((self._learner.rate, *self._means(losses)))
                if time.perf_counter() >= end:
                    break
            return np.array(curves, np.float32).reshape(-1, 3)

    def _step(self):
        """Train for an epoch; return False where that is not possible."""
        if self.converged or self.diverged is not None:
            return False
        try:
            self.converged = not self._learner.step(self._rows)
        except ValueError as error:
            if "non-finite" not in str(error):
                raise
            self.diverged = self._divergence()
            return False
        if self.converged:
            return False
        self.epoch += 1
        append(self._recorder.steps, Trained(1))
        return True

    def _divergence(self):
        """Return a sentence that names the epoch and the remedy."""
        unit, remedy = "epoch", "lower the learning rate"
        if self.state.solver == "lbfgs":
            unit, remedy = "iteration", "raise the L2 penalty"
        return (
            f"Training diverged in {unit} {self.epoch + 1}: {remedy} and reset. The "
            f"network is that of {unit} {self.epoch}."
        )

    def _means(self, values):
        """Return the means over the training and the test rows, NaN without any."""
        test = self.data.test
        mean_of_test = float(values[test].mean()) if test.any() else np.nan
        return float(values[~test].mean()), mean_of_test

    def _start(self, init=None):
        """Start anew; with `init` from these weights instead of drawn ones."""
        state, data = self.state, self.data
        self.epoch, self.converged, self.diverged = 0, False, None
        self._init = init
        self._take_rows()
        self._estimator: Any = MLPClassifier if data.classes else MLPRegressor
        self._parameters = self._choose_parameters()
        minimises, n_classes = state.solver == "lbfgs", len(data.classes)
        learner: type = Iterations if minimises else Epochs
        self._learner = learner(
            self._estimator,
            self._parameters,
            state.random_state,
            self._rows,
            {"classes": [*range(n_classes)]} if n_classes else {},
        )
        self._recorder = Recorder(
            self._estimator.__name__, [*self._statements], [*state.features], n_classes
        )
        seed = repr(state.random_state)
        seed = seed if minimises else f"np.random.RandomState({seed})"
        append(self._recorder.steps, self._made(seed))

    def _take_rows(self):
        """Take the rows of the data as the network gets them."""
        data = self.data
        self._X = columns(data.points, self.state.features)
        self._rows = self._X[~data.test], data.targets[~data.test]
        self._announced = False

    def _change(self, restart=False):
        """Let the learner have the parameters of the state."""
        if not self.epoch:
            self._start(self._init)
            return
        self.converged, self.diverged = False, None
        before, self._parameters = self._parameters, self._choose_parameters()
        changed = {k: v for k, v in self._parameters.items() if v != before.get(k)}
        if changed:
            self._learner.change(self._parameters, restart)
            made = self._made("network.random_state", True)
            append(self._recorder.steps, made if restart else Changed(changed))

    def _made(self, seed, continued=False):
        """Return the step that makes an estimator."""
        defaults = parameter_defaults(self._estimator)
        others = {k: v for k, v in self._parameters.items() if v != defaults[k]}
        return Made(others, seed, continued)

    def _choose_parameters(self):
        """Return the parameters that the state sets, without the seed."""
        state, table = self.state, make_fields()
        chosen = {}
        for name in parameter_defaults(self._estimator):
            field = table.get(name)
            if field is None or name == "random_state":
                continue
            value = getattr(state, name)
            applies = (field.applies or {}).items()
            if all(getattr(state, other) in values for other, values in applies):
                chosen[name] = value
        if not state.hidden_layer_sizes:
            del chosen["activation"]
        if "dropout" in chosen:
            chosen["dropout"] = state.dropout or None
        if "batch_size" in chosen:
            chosen["batch_size"] = min(state.batch_size, len(self._rows[1]))
        if self._init is not None:
            chosen["init"] = self._init
        return chosen

    # -- frames ------------------------------------------------------------------------

    def frame(
        self,
        epochs: int = 0,
        budget: float | None = None,
        unit: int | None = None,
        view: dict[str, Any] | None = None,
    ) -> bytes:
        """Train, and return the page's next frame, packed by `frames.pack`.

        Parameters
        ----------
        epochs, budget : see `train`
        unit : int or None, default=None
            Number of a hidden unit that `plane` shows in the place of the output.
        view : dict or None, default=None
            ``{"layer": l, "units": [a, b]}``, two units of a hidden layer for
            `view_grid` and `view_points`.

        Raises
        ------
        InvalidSetting
            If there is no such unit. Nothing has been trained then.
        """
        if not isinstance(epochs, int) or not 0 <= epochs <= MOST_EPOCHS:
            raise InvalidSetting(
                "epochs", f"Epochs must be from 0 to {MOST_EPOCHS}, got {epochs!r}."
            )
        if not isinstance(budget, int | float | None):
            raise InvalidSetting("budget", f"{budget!r} is no number of milliseconds.")
        units = sum(self.state.hidden_layer_sizes)
        if unit is not None and not (isinstance(unit, int) and 0 <= unit < units):
            raise InvalidSetting("unit", f"There is no hidden unit {unit!r}.")
        pair = None if view is None else self._pair(view)
        curves = self.train(epochs, budget)
        with np.errstate(all="ignore"):
            header, arrays = self._seen(unit, pair)
        header |= {"n_epochs": len(curves)}
        return pack(header, arrays | {"curves": curves})

    def _pair(self, view):
        """Return layer and units of a view."""
        view = view if isinstance(view, dict) else {}
        sizes, layer = self.state.hidden_layer_sizes, view.get("layer")
        if not isinstance(layer, int) or not 0 <= layer < len(sizes):
            raise InvalidSetting("view", f"There is no hidden layer {layer!r}.")
        units = view.get("units")
        if (
            not isinstance(units, list)
            or len(units) != 2
            or not all(isinstance(u, int) and 0 <= u < sizes[layer] for u in units)
        ):
            raise InvalidSetting(
                "view", f"Layer {layer} has {sizes[layer]} units, got {units!r}."
            )
        return layer, units

    def _seen(self, unit, pair):
        """Return header and arrays of a frame, without the curves."""
        model, data, features = self.model, self.data, self.state.features
        traced = measures.traced(model, self._X, data.targets)
        arrays = pictures.plane_pictures(model, features)
        if unit is not None:
            arrays["plane"] = pictures.unit_plane(model, features, unit)
        arrays |= pictures.unit_pictures(model, features)
        layers = zip(model.coefs_, model.intercepts_, strict=True)
        flat = [part.ravel() for layer in layers for part in layer]
        arrays["weights"] = np.concatenate(flat).astype(np.float32)
        if not self._announced or self.epoch == 0:
            self._announced = True
            points = np.column_stack([data.points, data.targets, data.test])
            arrays["points"] = points.astype(np.float32)
        if pair is not None:
            layer, units = pair
            arrays["view_grid"] = pictures.lines_seen(model, features, layer, units)
            at_points = traced.outputs[layer][:, units]
            arrays["view_points"] = at_points.astype(np.float32)
        return self._header(traced), arrays | measures.histograms(traced)

    def _header(self, traced):
        """Return the words and single numbers of a frame."""
        data, test, state = self.data, self.data.test, self.state
        losses = self._means(traced.losses)
        outputs = layer_outputs(self.model, self._X, -1)
        _, predicted = pictures.shown_outputs(self.model, outputs)
        scores = [
            measures.score(data.targets[rows], predicted[rows])
            for rows in (~test, test)
        ]
        layers = zip(
            state.hidden_layer_sizes,
            state.activation,
            traced.dead,
            traced.saturated,
            strict=True,
        )
        names = ("units", "activation", "dead", "saturated")
        return {
            "epoch": self.epoch,
            "train_loss": losses[0],
            "test_loss": losses[1],
            "train_score": scores[0],
            "test_score": scores[1],
            "score_name": "accuracy" if data.classes else "R²",
            "rate": self._learner.rate,
            "converged": self.converged,
            "diverged": self.diverged,
            "classes": data.classes,
            "layers": [dict(zip(names, layer, strict=True)) for layer in layers],
        }

    def code(self) -> str:
        """Return a program that makes this network."""
        return self._recorder.render()

    def pickled(self) -> bytes:
        """Return the fitted estimator as a pickle."""
        return pickle.dumps(self.model)

    def onnx(self) -> bytes:
        """Return the network as an ONNX model.

        Raises
        ------
        ImportError
            If skl2onnx, the extra `onnx`, is not installed.
        """
        return self.model.to_onnx().SerializeToString()


def _data_from(function, arguments):
    return f"data = {function}({', '.join(map(repr, arguments))})"
