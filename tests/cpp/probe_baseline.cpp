#include "cpu/backend.h"
#include "cpu/standard_headers.h"
#include "probe.h"

#define GAPO_VECTOR_BYTES 16
#include "probe_kernels.h"

extern const Probe kProbe_baseline;
constexpr Probe kProbe_baseline = gapo::make_probe();
