"""openEO errors: one exception type, one table from code to HTTP status.

Every failure that a user can cause is an `OpenEOError`. Its code is one of the API's error list or of a process's
``exceptions``; its message names the parameter, the value and what to do.
"""

from __future__ import annotations

# Codes whose status is not 400. Exceptions that process specifications define are always 400.
STATUS = {
    "AuthenticationRequired": 401,
    "AuthenticationSchemeInvalid": 403,
    "CollectionNotFound": 404,
    "CredentialsInvalid": 403,
    "FeatureUnsupported": 501,
    "FileNotFound": 404,
    "InfrastructureBusy": 503,
    "InfrastructureMaintenance": 503,
    "Internal": 500,
    "JobNotFound": 404,
    "NotFound": 404,
    "PaymentRequired": 402,
    "PermissionsInsufficient": 403,
    "ProcessGraphNotFound": 404,
    "RequestTimeout": 408,
    "ResultLinkExpired": 410,
    "ServiceNotFound": 404,
    "StorageFailure": 500,
    "TokenInvalid": 403,
    "UnsupportedApiVersion": 404,
}


class OpenEOError(Exception):
    """A failure that is told to the user.

    Parameters
    ----------
    code : str
        A code of the openEO API's error list or of a process specification's ``exceptions``.
    message : str
        One or two sentences: which parameter, which value, what to do.
    status : int, optional
        The HTTP status; by default that of the code.
    """

    def __init__(self, code: str, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = STATUS.get(code, 400) if status is None else status

    def __reduce__(self) -> tuple[type[OpenEOError], tuple[str, str, int]]:
        """Survive the way back from a Dask worker, code and all."""
        return (OpenEOError, (self.code, self.message, self.status))


def invalid(parameter: str, process: str, reason: str) -> OpenEOError:
    """Return the error for a parameter value that a process cannot take; `reason` says what would do."""
    message = f"The value passed for parameter '{parameter}' in process '{process}' is invalid: {reason.rstrip('.')}."
    return OpenEOError("ProcessParameterInvalid", message)
