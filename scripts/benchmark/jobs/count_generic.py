"""Word count: a pair a word, a reducer written by hand, which combines too."""


def mapper(line):
    for word in line.split():
        yield word, 1


def reducer(word, counts):
    yield word, sum(counts)


combiner = reducer
