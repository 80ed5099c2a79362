"""Search spaces: YAML with named holes, and the two ways between parameters and pipelines."""

from autokd.space.library import find_space, shipped_spaces
from autokd.space.space import Space
from autokd.space.yaml_text import with_options

__all__ = ["Space", "find_space", "shipped_spaces", "with_options"]
