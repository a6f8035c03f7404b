"""Shows sweeps on existing dashboards: by DSPy's callbacks, and in MLflow where a process uses it."""
