"""Runs the training pipeline on this machine with kfp.local, each stage in a process of its own."""

import json
import logging
import sys
import warnings

from kfp import local

from pipelines.training import training


def main() -> int:
    """Run the pipeline; the arguments are the pipeline root and the pipeline's parameters as JSON.

    Returns:
        0 where every stage succeeded, 1 where one failed (its reason is in the progress file and in the log).
    """
    root, parameters = sys.argv[1], json.loads(sys.argv[2])
    warnings.filterwarnings("ignore", message=".*does not contain 'python'.*")
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=root)
    try:
        training(**parameters)
    except RuntimeError as error:  # all that kfp.local tells of a failed stage
        logging.getLogger(__name__).error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
