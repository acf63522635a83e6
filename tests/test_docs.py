"""What the documents say holds: examples, commands, versions, parameters."""

import doctest
import inspect
import re
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import pytest

import fastmlp
from fastmlp import dask, data, displays, inspection, onnx_export, playground
from tests.estimators import BEFORE_1_9

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
MARKDOWN = [
    str(path.relative_to(ROOT))
    for path in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("**/*.md")))
    if "generated" not in path.parts
]
PAGES = [page for page in MARKDOWN if ">>> " in (ROOT / page).read_text("utf-8")]
MODULES = (fastmlp, dask, data, displays, inspection, onnx_export, playground)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@pytest.mark.parametrize("page", PAGES)
def test_examples(page, agg, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write files
    text = (ROOT / page).read_text("utf-8")
    if BEFORE_1_9 and ("sklearn.callback" in text or "set_callbacks" in text):
        pytest.skip("callbacks came with scikit-learn 1.9")
    test = doctest.DocTestParser().get_doctest(text, {}, page, None, 0)
    with np.errstate():  # which the import of some libraries changes
        for requirement in PROJECT["project"]["optional-dependencies"]["ecosystem"]:
            package = requirement.partition(">")[0]
            if re.search(rf">>> (import|from) {package}\b", text):
                pytest.importorskip(package)
        failed, attempted = doctest.DocTestRunner().run(test)
    assert attempted > 0
    assert failed == 0


@pytest.mark.parametrize("module", MODULES)
def test_api_page_lists_the_public_names(module):
    page = (ROOT / "docs" / "api.rst").read_text("utf-8")
    _, *parts = re.split(r"^\.\. currentmodule:: (.+)$", page, flags=re.MULTILINE)
    parts = dict(zip(parts[::2], parts[1::2], strict=True))
    listed = re.findall(r"^   (\w+)$", parts[module.__name__], re.MULTILINE)
    assert sorted(listed) == sorted({*module.__all__} - {"__version__"})


@pytest.mark.parametrize(
    "ending", ["python -m fastmlp", "python -m pytest -n auto --dist loadfile"]
)
def test_readme_commands_are_single_lines_for_a_fresh_machine(ending):
    lines = re.findall(rf"^python3 -m venv .*{ending}$", README, re.MULTILINE)
    assert len(lines) == 1
    assert "pip install" in lines[0]


def test_ci_takes_the_test_command_from_the_readme():
    pattern = re.search(r"test_command=\$\((sed .* README\.md)\)", ci_script()).group(1)
    found = subprocess.run(
        ["bash", "-c", pattern], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.count("\n") == 1
    assert found.stdout.strip() in README
    assert "pytest" in found.stdout


def ci_script():
    return (ROOT / ".ci" / "run").read_text("utf-8")


@pytest.mark.parametrize("page", MARKDOWN)
def test_links_lead_to_files_of_the_repository(page):
    text = (ROOT / page).read_text("utf-8")
    links = re.findall(r"\]\((?!http)([^)#\s]+)[^)\s]*\)", text)
    folder = (ROOT / page).parent
    assert [link for link in links if not (folder / link).exists()] == []


@pytest.mark.parametrize("tool", ["ruff", "codespell", "mypy"])
def test_pre_commit_and_ci_use_the_same_version(tool):
    pins = PROJECT["project"]["optional-dependencies"]["dev"]
    (pinned,) = (pin.partition("==")[2] for pin in pins if pin.startswith(f"{tool}=="))
    config = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    assert re.search(rf"{tool}\S*\n\s+rev: v{re.escape(pinned)}\n", config)


def test_oldest_versions_that_are_tested_are_the_lower_bounds():
    text = (ROOT / ".ci" / "oldest.txt").read_text("utf-8")
    oldest = dict(re.findall(r"^(\S+)==(\S+)$", text, re.MULTILINE))
    extras = PROJECT["project"]["optional-dependencies"]
    tested = {*PROJECT["project"]["dependencies"], *extras["test"]}
    others = [extra for name, extra in extras.items() if name != "dev"]
    for requirement in tested.union(*others):
        name, bound = re.split(r"(?:\[.*\])?>=", requirement)
        if requirement in tested or name in oldest:
            found = re.fullmatch(rf"{re.escape(bound)}(\.0)*", oldest[name])
            assert found, requirement


def test_version_is_written_once():
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "fastmlp/__init__.py"
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?", fastmlp.__version__)


def public_objects():
    """Yield the name and the object of whatever a user calls."""
    for module, name in ((each, name) for each in MODULES for name in each.__all__):
        thing = getattr(module, name)
        # Named tuples say what their fields are under Attributes, errors nothing.
        plain = inspect.isclass(thing) and issubclass(thing, tuple | Exception)
        if not callable(thing) or plain:
            continue
        yield name, thing
        if inspect.isclass(thing):
            for method, function in inspect.getmembers(thing, inspect.isfunction):
                # The others come from scikit-learn's base classes.
                if method[0] != "_" and function.__module__.startswith("fastmlp"):
                    yield f"{name}.{method}", function


PUBLIC = dict(public_objects())


def section(docstring, title):
    """Return the body of a numpydoc section, empty if there is none."""
    pattern = rf"^{title}\n-+\n(.*?)(?=^\S[^\n]*\n-{{3,}}\n|\Z)"
    found = re.search(pattern, inspect.cleandoc(docstring), re.MULTILINE | re.DOTALL)
    return found.group(1) if found else ""


@pytest.mark.parametrize("name", PUBLIC)
def test_docstring_parameters_are_the_signatures(name):
    documented = re.findall(
        r"^(\w+(?:, \w+)*) : ", section(PUBLIC[name].__doc__, "Parameters"), re.M
    )
    documented = [each for names in documented for each in names.split(", ")]
    parameters = [p for p in inspect.signature(PUBLIC[name]).parameters if p != "self"]
    assert documented == parameters


@pytest.mark.parametrize("name", PUBLIC)
def test_docstring_names_what_is_returned(name):
    if inspect.isclass(PUBLIC[name]):
        assert ">>>" in section(PUBLIC[name].__doc__, "Examples")
        assert section(PUBLIC[name].__doc__, "Attributes")
    else:
        assert section(PUBLIC[name].__doc__, "Returns")


@pytest.mark.parametrize(
    "name, params",
    [
        ("MLPClassifier", {"tol": 10.0}),
        ("MLPRegressor", {"tol": 10.0}),
        ("TabularClassifier", {"max_epochs": 1}),
        ("TabularRegressor", {"max_epochs": 1}),
    ],
)
def test_documented_attributes_exist(name, params):
    X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1]
    estimator = getattr(fastmlp, name)(hidden_layer_sizes=(3,), **params).fit(X, y)
    attributes = section(PUBLIC[name].__doc__, "Attributes")
    documented = re.findall(r"^(\w+(?:, \w+)*) : ", attributes, re.M)
    documented = {each for names in documented for each in names.split(", ")}
    fitted = {name for name in vars(estimator) if re.match(r"[^_].*_$", name)}
    # scikit-learn's test of docstrings knows them by this word.
    of_some_fits = re.findall(r"^(\w+) : .*\n(?: .*\n)*? .*\bonly ", attributes, re.M)
    assert documented - {"feature_names_in_", "quantiles_"} == fitted
    assert documented - fitted <= set(of_some_fits)
