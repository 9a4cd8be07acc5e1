"""How Sphinx builds these pages: `sphinx-build -W docs docs/_build`."""  # noqa: INP001

from __future__ import annotations

import persistentdb

project = "persistentdb"
author = "The persistentdb founders"
copyright = "2026, the persistentdb founders"  # noqa: A001
release = version = persistentdb.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"persistentdb {release}"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
myst_enable_extensions = ["fieldlist"]
myst_heading_anchors = 3
