"""Sphinx: how the documentation is built. Nothing is fetched while it is."""

import contextlib
import io
from pathlib import Path

import fastmlp
from fastmlp.examples import NAMES, load

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
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False  # the template lists them
autodoc_typehints = "none"  # the docstrings hold the types
myst_heading_anchors = 3
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# The empty line before the end of a block, which doctest needs, is not shown.
highlight_options = {"python": {"stripnl": True}}

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


def skip_foreign(app, what, name, obj, skip, options):
    """Leave out members that scikit-learn or Python defines."""
    module = getattr(obj, "__module__", None) or ""
    return None if module.startswith("fastmlp") else True


EXAMPLE = """# {name}

{docstring}

```sh
python -m fastmlp.examples {name}
```

```text
{printed}
```

![picture of {name}]({name}.png)

```{{literalinclude}} /../fastmlp/examples/{name}.py
:language: python
```
"""


def make_gallery(app, config):
    """Run the examples that have no page yet: what they say, draw and print."""
    folder = Path(app.srcdir, "generated", "examples")
    folder.mkdir(parents=True, exist_ok=True)
    load("tables")._fetched = lambda name, fetch: None  # no network
    for name in NAMES:
        page = folder / f"{name}.md"
        if page.exists():
            continue
        example, printed = load(name), io.StringIO()
        with contextlib.redirect_stdout(printed):
            found = example.run()
        example.draw(found).savefig(page.with_suffix(".png"), dpi=100)
        parts = {"docstring": example.__doc__, "printed": printed.getvalue()}
        page.write_text(EXAMPLE.format(name=name, **parts), encoding="utf-8")


def setup(app):
    """Connect the functions above."""
    app.connect("config-inited", make_gallery)
    app.connect("autodoc-skip-member", skip_foreign)
