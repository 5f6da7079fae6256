"""Inverted index with a PySpark RDD on two threads. INPUT_FOLDER OUTPUT_FOLDER."""

import sys

from session import session

if __name__ == "__main__":
    spark = session()
    files = spark.sparkContext.wholeTextFiles(sys.argv[1], minPartitions=16)
    pairs = files.flatMap(lambda file: [(word, file[0].rpartition("/")[2]) for word in set(file[1].split())])
    index = pairs.groupByKey().mapValues(lambda names: ",".join(sorted(set(names))))
    index.map(lambda pair: f"{pair[0]}\t{pair[1]}").saveAsTextFile(sys.argv[2])
    spark.stop()
