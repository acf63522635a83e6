"""Sphinx: how the documentation is built. Nothing is fetched while it is."""

import inspect

import fastmlp

project = "fastmlp"
author = copyright = "The fastmlp developers"
release = version = fastmlp.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"sklearn\..*")]  # on scikit-learn's own site
default_role = "literal"

autosummary_generate = True
numpydoc_show_class_members = False  # the template lists them
autodoc_typehints = "none"  # the docstrings hold the types
myst_heading_anchors = 3
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = f"fastmlp {release}"
html_static_path = ["_static"]
html_css_files = ["fastmlp.css"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "fastmlp"},
    "navbar_align": "left",
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
}


def skip_foreign(app, what, name, obj, skip, options):
    """Leave out members that scikit-learn defines."""
    module = getattr(inspect.unwrap(obj) if callable(obj) else obj, "__module__", "")
    return True if str(module).startswith("sklearn.") else None


def setup(app):
    """Connect the functions above."""
    app.connect("autodoc-skip-member", skip_foreign)
