"""What runs leave on disk: JSON Lines that survive a kill, run folders, and how they are read again."""
