// From here on the compiler may use AVX2 (x86-64-v3), until end_target.h. What comes from outside is included before.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")
#endif
#define GAPO_VECTOR_BYTES 32
