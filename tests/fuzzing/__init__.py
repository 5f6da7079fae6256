"""Fuzzing by coverage (atheris): the same parsers as tests/test_fuzz.py, with bytes that find new branches."""
