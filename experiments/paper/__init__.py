"""The parts of `experiments/paper_table.py`: the grid, what it will cost, its cells, and the table."""
