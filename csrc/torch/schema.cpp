// The ops' schemas. Names, order and defaults are fixed: users and every backend rely on them.
#include <torch/csrc/stable/library.h>

#define GAPO_OPTIONS "float tau=0.5, str center=\"hdi_median\", str scale=\"rms\", float eps=1e-06, Tensor? valid=None"

STABLE_TORCH_LIBRARY(gapo, m) {
  m.def("advantage(Tensor rewards, " GAPO_OPTIONS ") -> Tensor");
  m.def("advantage_varlen(Tensor rewards, Tensor offsets, SymInt max_group_size, " GAPO_OPTIONS ") -> Tensor");
  m.def("advantage_by_id(Tensor rewards, Tensor group_ids, " GAPO_OPTIONS ") -> Tensor");
  m.def("advantage_stats(Tensor rewards, Tensor? group_ids=None, " GAPO_OPTIONS ") -> (Tensor, Tensor)");
  m.def("token_advantage(Tensor token_rewards, Tensor mask, Tensor group_ids, " GAPO_OPTIONS ") -> Tensor");
}
