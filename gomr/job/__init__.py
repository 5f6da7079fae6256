"""All that runs inside an executable: the standard library alone, and nothing else of gomr."""
