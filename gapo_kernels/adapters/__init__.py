"""GAPO in the RL frameworks that people already use: one module a framework, one page each in docs/adapters.

What the modules share: ``settings`` reads tau, centre, scale, eps and estimator from a framework's configuration,
``rows`` brings token-level rewards into the op's form, ``metrics`` turns a batch's group statistics into numbers to
log, and ``presence`` tells ``gapo_kernels.doctor`` which frameworks are here. ``import gapo_kernels`` imports only the
last of these, and no framework.
"""
