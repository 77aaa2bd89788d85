"""MLHub's own model servers, speaking the Open Inference Protocol."""
