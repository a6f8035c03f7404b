"""`python -m anytime_dspy`: the same as the `anytime-dspy` command."""

from anytime_dspy.cli.main import main

main()
