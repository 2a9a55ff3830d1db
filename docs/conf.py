"""How Sphinx builds the documents."""

import vecrec

project = "vecrec"
author = "vecrec contributors"
copyright = "2026, vecrec contributors"
release = vecrec.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = False
default_role = "py:obj"  # `Recommender` in a docstring is a link

autoclass_content = "both"  # the parameters of a class stand in its __init__
autodoc_member_order = "bysource"
autodoc_typehints = "description"
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "vecrec"

copybutton_exclude = ".linenos, .gp, .go"
