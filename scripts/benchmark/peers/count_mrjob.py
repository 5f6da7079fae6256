"""Word count with mrjob: -r local INPUT."""

from mrjob.job import MRJob
from mrjob.protocol import TextProtocol


class Count(MRJob):
    """A pair a word, with a combiner."""

    OUTPUT_PROTOCOL = TextProtocol

    def mapper(self, _, line):
        """Yield a pair a word."""
        for word in line.split():
            yield word, 1

    def combiner(self, word, counts):
        """Add up."""
        yield word, sum(counts)

    def reducer(self, word, counts):
        """Add up."""
        yield word, str(sum(counts))


if __name__ == "__main__":
    Count.run()
