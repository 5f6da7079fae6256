"""Sorts lines by their first ten bytes with DuckDB on two threads. INPUT OUTPUT."""

import sys

import duckdb

LINES = """read_csv('{}', columns={{'line': 'VARCHAR'}}, delim=chr(1), quote='', escape='', header=false,
    auto_detect=false, null_padding=false, new_line='\\n')"""

if __name__ == "__main__":
    database = duckdb.connect()
    database.execute("SET threads=2; SET memory_limit='8GB'")
    ordered = f"SELECT line FROM {LINES.format(sys.argv[1])} ORDER BY substr(line, 1, 10)"
    database.execute(
        f"COPY ({ordered}) TO '{sys.argv[2]}' (FORMAT csv, DELIMITER '\x01', HEADER false, QUOTE '', ESCAPE '')"
    )
