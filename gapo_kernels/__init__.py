"""Group advantages for RL of language models: one op, ``torch.ops.gapo.advantage``, and Python functions around it."""

from gapo_kernels import backends

backends.load()

from gapo_kernels import distributed  # noqa: E402
from gapo_kernels.diagnosis import doctor  # noqa: E402
from gapo_kernels.ops import (  # noqa: E402
    AdvantageStats,
    advantage,
    advantage_by_id,
    advantage_stats,
    advantage_varlen,
    token_advantage,
)
from gapo_kernels.warm_up import warmup  # noqa: E402
from gapo_numpy import ESTIMATORS, Estimator, build_info, plan  # noqa: E402

__all__ = [
    "ESTIMATORS",
    "AdvantageStats",
    "Estimator",
    "advantage",
    "advantage_by_id",
    "advantage_stats",
    "advantage_varlen",
    "build_info",
    "distributed",
    "doctor",
    "plan",
    "token_advantage",
    "warmup",
]
