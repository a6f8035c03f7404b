"""One page, one picture or one table of what runs say: `write_page`, `write_rows`."""
