"""LEAP, the baseline that learns principles from labelled mistakes."""
