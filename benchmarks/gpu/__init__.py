"""Everything that needs a GPU, in one command of nine minutes: `make gpu`."""
