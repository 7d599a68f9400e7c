"""The tasks of the training pipeline, by name; whoever shows a run needs these, and not kfp, which compiles it."""

TRAINING_STAGES = ("ingest", "validate", "feature", "train-sklearn", "train-xgboost", "evaluate", "deploy")
