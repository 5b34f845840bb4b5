// The probe for the target of csrc/cpu/isa_avx512.cpp.
#include "cpu/backend.h"
#include "cpu/standard_headers.h"
#include "probe.h"

#if defined(__x86_64__)
#include "cpu/begin_avx512.h"
#include "probe_kernels.h"

extern const Probe kProbe_avx512;
constexpr Probe kProbe_avx512 = gapo::make_probe();

#include "cpu/end_target.h"
#endif
