"""Starts processes and leaves them behind: a child, one in a session of its own, and an orphan in one."""

import os
import subprocess

HELPER = subprocess.Popen(["sleep", "1000"])  # of the job as it is imported: all tasks have it

ORPHAN = 'setsid sh -c "sleep 1000" > /dev/null 2>&1 & echo $!'


def mapper(line):
    yield "helper", os.path.exists(f"/proc/{HELPER.pid}")
    yield "left", subprocess.Popen(["sleep", "1000"]).pid
    yield "left", subprocess.Popen(["sleep", "1000"], start_new_session=True).pid
    yield "left", int(subprocess.check_output(["sh", "-c", ORPHAN]))


def reducer(key, values):
    for value in values:
        yield key, value
