"""The Spark session of the peers: two threads, 4 GB, no page."""

from pyspark.sql import SparkSession


def session() -> SparkSession:
    """Return it."""
    builder = SparkSession.builder.master("local[2]").config("spark.driver.memory", "4g")
    return builder.config("spark.ui.enabled", "false").getOrCreate()
