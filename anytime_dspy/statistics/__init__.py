"""What results say, and how sure one may be of it."""
