"""What a process of the scorer does without."""

import sys
from types import ModuleType


class _LeftOut:
    """Keeps out what the scorer does not need, but numba and pyarrow import where it is: seconds and 90 MB."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> None:
        """Say that these modules are not there; of others, nothing."""
        if name in ("pandas", "sklearn", "scipy", "cffi"):
            raise ModuleNotFoundError(f"the scorer does without {name}", name=name)


def leave_out() -> None:
    """Do without pandas, scipy, scikit-learn, cffi and the administration of stores in this process, from now on."""
    sys.meta_path.insert(0, _LeftOut)
    # The store's SDK imports it for its users, with cryptography that takes a tenth of the scorer's start.
    administration = ModuleType("minio.minioadmin")
    administration.__dict__["MinioAdmin"] = None
    sys.modules["minio.minioadmin"] = administration
