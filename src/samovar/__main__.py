"""`python -m samovar` is `samovar`."""

from samovar.cli.entry import main

main()
