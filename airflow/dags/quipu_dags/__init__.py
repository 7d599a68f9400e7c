"""What Quipu's DAGs share: the as-of day, settings, alerts and steps. No pipeline code is imported here."""
