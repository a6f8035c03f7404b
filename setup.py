"""Finds the packages; everything else about the build stands in pyproject.toml.

programs/ and optimizers/ stand at the top of the repository and install inside the package.
"""

from setuptools import find_packages, setup

INSIDE = ("programs", "optimizers")

setup(
    packages=[
        *find_packages(include=["anytime_dspy", "anytime_dspy.*"]),
        *(
            f"anytime_dspy.{name}"
            for name in find_packages(include=[pattern for top in INSIDE for pattern in (top, f"{top}.*")])
        ),
    ],
    package_dir={f"anytime_dspy.{top}": top for top in INSIDE},
)
