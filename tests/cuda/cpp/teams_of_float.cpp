#include "teams_of.h"

template void gapo::cuda::test_shapes<float>(Effort);
