"""One predictor's call: its prompt format, what the LM is asked, what it wrote, and the answer that can be forced."""
