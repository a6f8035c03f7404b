"""Reports on runs: tables, pictures, and a page."""
