"""Chaos on real processes: workers, etcd and an S3 server that are killed, stopped and cut off while jobs run."""
