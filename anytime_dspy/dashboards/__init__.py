"""What the dashboards that people already have are told: DSPy's callbacks, and MLflow where a process uses it."""
