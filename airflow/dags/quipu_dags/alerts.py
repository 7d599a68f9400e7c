"""Who is told of a failure: a mail and a webhook, each where its address is set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from airflow.sdk import BaseNotifier, Variable
from airflow.sdk.exceptions import AirflowNotFoundException

if TYPE_CHECKING:
    from airflow.sdk import Context

WEBHOOK = "quipu_webhook"
MAIL_VARIABLE = "quipu_alert_mail"


class Alert(BaseNotifier):
    """Tells what failed, in which run, with the first sentence of the reason.

    The mail goes to the Airflow variable ``quipu_alert_mail`` through the connection ``smtp_default``; the webhook
    is a POST of JSON to the HTTP connection ``quipu_webhook``. One that is not set up is left out.
    """

    template_fields: Sequence[str] = ("subject", "text")
    SUBJECT: ClassVar[str] = "Quipu: {{ dag.dag_id }}.{{ ti.task_id }} failed"
    TEXT: ClassVar[str] = "{{ (exception | string).split('\n')[0] }}"

    def __init__(self, subject: str = SUBJECT, text: str = TEXT) -> None:
        super().__init__()
        self.subject = subject
        self.text = text

    def notify(self, context: Context) -> None:
        """Send both; a mail that fails does not keep the webhook from being called."""
        try:
            self._mail(context)
        finally:
            self._webhook(context)

    def _mail(self, context: Context) -> None:
        to = Variable.get(MAIL_VARIABLE, default=None)
        if not to:
            self.log.info("No variable '%s': no mail is sent", MAIL_VARIABLE)
            return
        # Imported here: a DAG file is parsed often and seldom alerts.
        from airflow.providers.smtp.notifications.smtp import SmtpNotifier

        ti = context["ti"]
        body = f"<p>{_escaped(self.text)}</p><p>DAG {ti.dag_id}, run {_escaped(ti.run_id)}</p>"
        SmtpNotifier(to=to, subject=self.subject, html_content=body).notify(context)

    def _webhook(self, context: Context) -> None:
        from airflow.providers.http.notifications.http import HttpNotifier

        ti = context["ti"]
        facts = {"dag": ti.dag_id, "task": ti.task_id, "run": ti.run_id, "subject": self.subject, "text": self.text}
        try:
            HttpNotifier(http_conn_id=WEBHOOK, json=facts).notify(context)
        except AirflowNotFoundException:
            self.log.info("No connection '%s': no webhook is called", WEBHOOK)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
