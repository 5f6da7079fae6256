"""Submits the word count from a program, works on it, and prints the most frequent words.

python examples/wordcount_submit.py INPUT...
"""

import sys
import threading
from pathlib import Path

import gomr
from gomr.job.outputs import parse_text


def main(inputs: list[str]) -> None:
    with gomr.Client() as client:
        job = client.submit(Path(__file__).with_name("wordcount.py"), inputs)
        print(f"submitted {job}", file=sys.stderr)

        # Any worker of the cluster would do; this one leaves when the job is done.
        worker = client.worker(client.worker_settings(once=True, only_job=job))
        thread = threading.Thread(target=worker.run)
        thread.start()
        status = client.wait(job)
        thread.join()

        print(f"{job} is {status.state}", file=sys.stderr)
        lines = b"".join(client.read_result(job)).splitlines()
    counts = [(word, int(count)) for word, count in map(parse_text, lines)]
    for word, count in sorted(counts, key=lambda pair: (-pair[1], pair[0]))[:10]:
        print(word, count)


if __name__ == "__main__":
    main(sys.argv[1:])
