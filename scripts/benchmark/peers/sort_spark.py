"""Sorts lines by their first ten characters with a PySpark DataFrame on two threads. INPUT OUTPUT_FOLDER."""

import sys

from session import session

if __name__ == "__main__":
    spark = session()
    lines = spark.read.text(sys.argv[1])
    lines.orderBy(lines.value.substr(1, 10)).write.text(sys.argv[2])
    spark.stop()
