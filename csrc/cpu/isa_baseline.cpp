// The kernels for any CPU that the build's own flags allow: x86-64-v2, aarch64 (NEON), and whatever else has 16-byte
// vectors or lets the compiler emulate them.
#include "cpu/backend.h"
#include "cpu/standard_headers.h"

#define GAPO_VECTOR_BYTES 16
#include "cpu/kernels.h"

namespace gapo {
extern const Backend kBackend_baseline;
constexpr Backend kBackend_baseline = make_backend("baseline");
}  // namespace gapo
