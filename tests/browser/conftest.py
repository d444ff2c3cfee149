"""The server of the API's tests, for a browser."""

from tests.api.conftest import data, server

__all__ = ["data", "server"]
