"""The version of gomr and of the job contract that this code speaks."""

VERSION = "0.1.0"

CONTRACT_VERSION = 1
"""The number both sides of the job contract state (DESIGN.md, "The job contract")."""
