"""The parts of `experiments.compilers.run`: compilers compared at equal LM tokens."""
