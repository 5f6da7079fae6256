"""Tests of the web page: its API with a client, the page itself with a browser."""
