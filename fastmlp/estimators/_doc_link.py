"""The page of an estimator, to which its picture in a notebook links."""

import os
from pathlib import Path

# The site that a checkout has built.
BUILT = Path(__file__).parents[2] / "docs" / "_build"

# Within the site; scikit-learn fills the name in.
PAGE = "generated/fastmlp.{estimator_name}.html"


def template() -> str:
    """Return the address of an estimator's page, its name left open.

    The site is at `FASTMLP_DOCS_URL` or, without that variable, where a checkout has
    built it; without both there are no links, and the address is empty.
    """
    site = os.environ.get("FASTMLP_DOCS_URL", "").rstrip("/")
    if not site and (BUILT / "index.html").exists():
        site = BUILT.as_uri()
    return f"{site}/{PAGE}" if site else ""


class Documented:
    """Mixin: the attributes of which scikit-learn makes links and tooltips."""

    _doc_link_module = "fastmlp"
    _doc_link_template = template()
