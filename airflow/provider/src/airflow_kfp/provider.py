"""What Airflow is told of this provider when it looks for providers."""

from __future__ import annotations

from typing import Any

from airflow_kfp import __version__

_NAME = "Kubeflow Pipelines"


def get_provider_info() -> dict[str, Any]:
    """Connection type, modules and links, in the form of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-kfp",
        "name": _NAME,
        "description": "Runs pipelines on Kubeflow Pipelines and waits for them.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _NAME,
                "external-doc-url": "https://www.kubeflow.org/docs/components/pipelines/",
                "tags": ["service"],
            }
        ],
        "hooks": [{"integration-name": _NAME, "python-modules": ["airflow_kfp.hooks"]}],
        "operators": [{"integration-name": _NAME, "python-modules": ["airflow_kfp.operators"]}],
        "sensors": [{"integration-name": _NAME, "python-modules": ["airflow_kfp.sensors"]}],
        "triggers": [{"integration-name": _NAME, "python-modules": ["airflow_kfp.triggers"]}],
        "extra-links": ["airflow_kfp.links.KfpRunLink"],
        "connection-types": [
            {
                "connection-type": "kfp",
                "hook-class-name": "airflow_kfp.hooks.KfpHook",
                "hook-name": _NAME,
                "conn-fields": {
                    "namespace": _text("Namespace", "Profile namespace, where Kubeflow has several users"),
                    "ui_url": _text("Web page", "Root of the web page, for links; the API's address if empty"),
                    "token_path": _text("Token file", "Projected service account token; read again for each request"),
                    "ca_file": _text("CA file", "Certificates (PEM) to trust instead of the system's"),
                    "user_header": _text("User header", "Header that carries the login, such as kubeflow-userid"),
                    "timeout": {
                        "label": "Timeout",
                        "description": "Seconds that one request may take",
                        "schema": {"type": ["number", "null"], "default": 30, "minimum": 1},
                    },
                },
                "ui-field-behaviour": {
                    "hidden-fields": ["extra"],
                    "relabeling": {
                        "host": "API server",
                        "schema": "http or https",
                        "login": "User",
                        "password": "Bearer token",
                    },
                    "placeholders": {"host": "ml-pipeline.kubeflow", "port": "8888", "schema": "http"},
                },
            }
        ],
    }


def _text(label: str, description: str) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"]}}
