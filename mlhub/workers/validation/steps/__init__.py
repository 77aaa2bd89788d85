"""The steps of validation, one a module."""

from mlhub.workers.validation.steps.archive import Archive
from mlhub.workers.validation.steps.base import Step
from mlhub.workers.validation.steps.contents import Contents
from mlhub.workers.validation.steps.deployment import Deployment
from mlhub.workers.validation.steps.example import Example
from mlhub.workers.validation.steps.safety import Safety
from mlhub.workers.validation.steps.signature import ServerSignature

__all__ = ["Archive", "Contents", "Deployment", "Example", "Safety", "ServerSignature", "Step"]
