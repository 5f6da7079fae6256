"""Starts a job's processes so that nothing of the job outlives the process that started it."""
