"""Reading the one number that a text gives as its answer."""
