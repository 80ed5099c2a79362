"""Everything is in pyproject.toml but one thing it cannot say: search_spaces/ is installed as ``autokd._spaces``."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["autokd", "autokd.*"]), "autokd._spaces"],
    package_dir={"autokd._spaces": "search_spaces"},
)
