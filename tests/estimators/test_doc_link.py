"""Links and tooltips of scikit-learn's picture of an estimator in a notebook."""

import re
from html import unescape

import pytest

import fastmlp
from fastmlp.estimators import _doc_link
from fastmlp.estimators._doc_link import PAGE, template

NAMES = ("MLPClassifier", "MLPRegressor", "TabularClassifier", "TabularRegressor")
each = pytest.mark.parametrize("name", NAMES)


def test_the_variable_is_where_the_site_is(monkeypatch):
    assert {getattr(fastmlp, name)._doc_link_template for name in NAMES} == {template()}
    monkeypatch.setenv("FASTMLP_DOCS_URL", "https://docs.example.org/fastmlp/")
    assert template() == f"https://docs.example.org/fastmlp/{PAGE}"


def test_a_site_that_was_built_is_found(tmp_path, monkeypatch):
    monkeypatch.delenv("FASTMLP_DOCS_URL", raising=False)
    monkeypatch.setattr(_doc_link, "BUILT", tmp_path)
    assert template() == ""
    (tmp_path / "index.html").touch()
    assert template() == f"{tmp_path.as_uri()}/{PAGE}"


@each
def test_every_parameter_has_a_tooltip(name, monkeypatch):
    Estimator = getattr(fastmlp, name)
    monkeypatch.setattr(Estimator, "_doc_link_template", f"https://docs.example/{PAGE}")
    shown = unescape(Estimator()._repr_html_())
    page = f"https://docs.example/generated/fastmlp.{name}.html"
    assert f'href="{page}"' in shown
    for parameter in Estimator().get_params():
        # The link finds the line of the docstring that begins with the name.
        (kind,) = re.findall(rf"^    {parameter} : (.+)$", Estimator.__doc__, re.M)
        assert f"{page}#:~:text={parameter}," in shown
        assert f"{parameter}: {kind}<br><br>" in shown


@each
def test_without_a_site_there_are_no_links(name, monkeypatch):
    Estimator = getattr(fastmlp, name)
    monkeypatch.setattr(Estimator, "_doc_link_template", "")
    shown = Estimator()._repr_html_()
    assert "n_threads" in shown
    assert "href" not in shown
