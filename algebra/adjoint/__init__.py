"""The adjoint of a pipeline: its gradients, as pipelines, each step of their derivation an equation."""
