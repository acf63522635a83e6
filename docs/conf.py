"""Sphinx: how the documentation is built. Nothing is fetched while it is."""

import html
import re
from pathlib import Path
from urllib.parse import unquote

import sklearn.datasets
from sklearn.utils._repr_html.common import generate_link_to_param_doc
from sphinx.errors import SphinxError

import fastmlp
from fastmlp.estimators._doc_link import PAGE

project = "fastmlp"
author = copyright = "The fastmlp developers"
release = version = fastmlp.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
# docs/examples.md is the index of the gallery.
exclude_patterns = ["_build", "generated/examples/index.rst"]
templates_path = ["_templates"]
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"sklearn\..*")]  # on scikit-learn's own site
default_role = "literal"
smartquotes = False  # links from notebooks search for the types as they were written

autosummary_generate = True
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False  # the template lists them
autodoc_typehints = "none"  # the docstrings hold the types
myst_heading_anchors = 3
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# The empty line before the end of a block, which doctest needs, is not shown.
highlight_options = {"python": {"stripnl": True}}

sphinx_gallery_conf = {
    "examples_dirs": "../fastmlp/examples",
    "gallery_dirs": "generated/examples",
    "filename_pattern": "",
    "ignore_pattern": "^_",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("fastmlp",),
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
}

html_theme = "pydata_sphinx_theme"
html_title = f"fastmlp {release}"
html_static_path = ["_static"]
html_css_files = ["fastmlp.css"]
html_show_sourcelink = False
html_sidebars = {"*": []}  # for pages in folders only
html_theme_options = {
    "logo": {"text": "fastmlp"},
    "navbar_align": "left",
    "footer_start": ["copyright"],
    "footer_end": [],
    "header_links_before_dropdown": 6,
    "primary_sidebar_end": [],  # no place for advertisements
}


def fetch_nothing(*args, **options):
    """Have the example of tables make its own, as it does without a network."""
    raise OSError("nothing is fetched while the documentation is built")


sklearn.datasets.fetch_california_housing = fetch_nothing
sklearn.datasets.fetch_openml = fetch_nothing


def skip_foreign(app, what, name, obj, skip, options):
    """Leave out members that scikit-learn or Python defines."""
    module = getattr(obj, "__module__", None) or ""
    return None if module.startswith("fastmlp") else True


def link_examples_to_their_pages(app, docname, content):
    """Let links to an example's source, which a clone has, lead to its page."""
    source = r"\]\((?:\.\./)+fastmlp/examples/(\w+)\.py\)"
    content[0] = re.sub(source, r"](/generated/examples/\1.rst)", content[0])


def check_links_from_notebooks(app, error):
    """Fail where a page or a parameter that notebooks link to is missing."""
    if error is not None or app.builder.format != "html":
        return
    for name in (
        "MLPClassifier",
        "MLPRegressor",
        "TabularClassifier",
        "TabularRegressor",
    ):
        estimator = getattr(fastmlp, name)
        page = Path(app.outdir, PAGE.format(estimator_name=name))
        text = html.unescape(re.sub("<[^>]*>", "", page.read_text("utf-8")))
        for parameter in estimator().get_params():
            link = generate_link_to_param_doc(estimator, parameter, "")
            sought = unquote(link.partition("text=")[2]).replace(",-", "", 1)
            if sought not in text:
                raise SphinxError(f"{page} does not hold {sought!r}")


def setup(app):
    """Connect the functions above."""
    app.connect("source-read", link_examples_to_their_pages)
    app.connect("autodoc-skip-member", skip_foreign)
    app.connect("build-finished", check_links_from_notebooks)
