"""Runs gomr beside other systems on the same work, checks their results against each other, and prints ratios."""
