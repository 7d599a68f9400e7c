"""Where the API server is and who we are there."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from kfp_runs.errors import Rejected, Unauthorized


@dataclass(frozen=True)
class Server:
    """An API server and our identity there.

    Attributes:
        url: Root of the API, without a slash at the end.
        namespace: Namespace of experiments, pipelines and runs where Kubeflow has several users.
        token: Bearer token that does not change.
        token_path: File of a bearer token that does; read again for each request, since Kubernetes renews it.
        ca_file: Certificates to trust instead of the system's.
        user: Value of ``user_header``.
        user_header: Header by which a proxy in front tells the user.
        timeout: Seconds that one request may take.
    """

    url: str
    namespace: str = ""
    token: str = ""
    token_path: str = ""
    ca_file: str = ""
    user: str = ""
    user_header: str = ""
    timeout: float = 30.0

    def headers(self) -> dict[str, str]:
        """Headers of one request.

        Raises:
            Unauthorized: The token file cannot be read.
        """
        headers = {"Accept": "application/json"}
        token = self.token
        if self.token_path:
            try:
                token = Path(self.token_path).read_text(encoding="utf-8").strip()
            except OSError as problem:
                raise Unauthorized(
                    f"The token file {self.token_path} for {self.url} cannot be read ({problem.strerror}); "
                    "mount the projected service account token there."
                ) from None
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if self.user_header and self.user:
            headers[self.user_header] = self.user
        return headers

    def certificates(self) -> ssl.SSLContext | bool:
        """What to check the server's certificate with; False where the line is not encrypted.

        Raises:
            Rejected: The file of certificates cannot be used.
        """
        if self.url.startswith("http://"):
            return False
        try:
            return ssl.create_default_context(cafile=self.ca_file or None)
        except (OSError, ssl.SSLError):
            raise Rejected(
                f"The file of certificates {self.ca_file} for {self.url} cannot be read; give 'ca_file' a PEM file."
            ) from None
