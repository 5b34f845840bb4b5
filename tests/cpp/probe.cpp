#include "probe.h"

#include <string_view>

#include "cpu/backend.h"

extern const Probe kProbe_baseline;
#if defined(__x86_64__)
extern const Probe kProbe_avx2;
extern const Probe kProbe_avx512;
#endif

const Probe& probe() {
#if defined(__x86_64__)
  const std::string_view name = gapo::backend().name;
  if (name == "avx512") return kProbe_avx512;
  if (name == "avx2") return kProbe_avx2;
#endif
  return kProbe_baseline;
}
