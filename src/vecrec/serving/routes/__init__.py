"""The endpoints of the service, one file for each kind of resource."""

__all__: list[str] = []
