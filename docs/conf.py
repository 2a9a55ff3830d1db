"""How Sphinx builds the documents."""

from importlib.metadata import version as _version

project = "vecrec"
author = "vecrec contributors"
copyright = "2026, vecrec contributors"
release = _version("vecrec")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = False

autodoc_member_order = "bysource"
autodoc_typehints = "description"
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "vecrec"
