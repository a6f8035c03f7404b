"""The search over candidates: what it may choose from, who runs what, and where it stops."""
