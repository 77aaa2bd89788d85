"""TFaaS, https://github.com/vkuznet/TFaaS: its adapter, the names and the bundles it takes."""
