// Marks what is compiled for the CPU and, by nvcc, for the GPU as well.
#pragma once

#if defined(__CUDACC__)
#define GAPO_HD __host__ __device__
#else
#define GAPO_HD
#endif
