"""A deterministic simulation of gomr's own core: virtual time, one process, every fault from one seed."""
