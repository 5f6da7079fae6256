"""Word count with a PySpark RDD on two threads. INPUT OUTPUT_FOLDER."""

import sys
from operator import add

from session import session

if __name__ == "__main__":
    spark = session()
    words = spark.sparkContext.textFile(sys.argv[1]).flatMap(lambda line: line.split())
    counts = words.map(lambda word: (word, 1)).reduceByKey(add)
    counts.map(lambda pair: f"{pair[0]}\t{pair[1]}").saveAsTextFile(sys.argv[2])
    spark.stop()
