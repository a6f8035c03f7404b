"""The command line: thin over the library, and the only place that prints."""
