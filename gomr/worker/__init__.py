"""The worker: a long-lived process that offers slots, and runs one task at a time in each."""
