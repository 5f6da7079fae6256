"""Word count with DuckDB on two threads. INPUT OUTPUT."""

import sys

import duckdb

LINES = """read_csv('{}', columns={{'line': 'VARCHAR'}}, delim=chr(1), quote='', escape='', header=false,
    auto_detect=false, null_padding=false, max_line_size=10000000, new_line='\\n')"""

if __name__ == "__main__":
    database = duckdb.connect()
    database.execute("SET threads=2; SET preserve_insertion_order=false; SET memory_limit='8GB'")
    words = f"SELECT unnest(string_split(translate(line, chr(9), ' '), ' ')) AS word FROM {LINES.format(sys.argv[1])}"
    counts = f"SELECT word, count(*) FROM ({words}) WHERE word <> '' GROUP BY word"
    database.execute(
        f"COPY ({counts}) TO '{sys.argv[2]}' (FORMAT csv, DELIMITER '\t', HEADER false, QUOTE '', ESCAPE '')"
    )
