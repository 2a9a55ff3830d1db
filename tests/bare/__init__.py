"""What works with the core dependencies alone; `tox run -e bare` runs it where no extra is installed."""
