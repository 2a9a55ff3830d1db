"""What every test of this repository may use, those in the documents included."""

pytest_plugins = ["tests.servers.plugin"]
