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
autodoc_typehints = "both"  # with types, for authors of parts
autodoc_typehints_description_target = "documented_params"
# Written out, the alias of a JSON value fills half a page.
autodoc_type_aliases = {name: name for name in ("JSON", "Record", "Id", "Vectors", "Attributes", "FrameLike")}
python_maximum_signature_line_length = 88
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "vecrec"

copybutton_exclude = ".linenos, .gp, .go"
