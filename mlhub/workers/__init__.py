"""The Celery workers: tasks, adapters to model servers, checks of bundles."""
