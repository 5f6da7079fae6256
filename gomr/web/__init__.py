"""The page on :8181: a process of its own that looks at a cluster, and holds nothing that is not read again."""
