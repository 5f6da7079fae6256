"""Real servers on this machine's loopback: a SeaweedFS S3 and an etcd, for trying gomr out and for its tests."""
