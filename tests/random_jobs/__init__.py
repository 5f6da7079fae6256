"""Random jobs, run in random ways, must give what a plain loop gives."""
