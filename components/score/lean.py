"""What a process of the scorer does without."""

import sys


class _LeftOut:
    """Keeps out what the scorer does not need, but numba and pyarrow import where it is: 3 s and 90 MB."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> None:
        """Say that pandas, scipy and scikit-learn are not there; of other modules, nothing."""
        if name in ("pandas", "sklearn", "scipy"):
            raise ModuleNotFoundError(f"the scorer does without {name}", name=name)


def leave_out() -> None:
    """Do without pandas, scipy and scikit-learn in this process, from now on."""
    sys.meta_path.insert(0, _LeftOut)
