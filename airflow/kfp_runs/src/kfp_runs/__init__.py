"""Reads runs of Kubeflow Pipelines, without Airflow and without the KFP SDK."""
