"""`python -m gomr.cli`: the command line without the script that installs with it."""

from gomr.cli.main import main

main()
