// The tests of the kernels for large groups, ids and tokens, one function a promise.
#pragma once

#include "tests.h"

void test_ids(Effort effort);
void test_large_groups(Effort effort);
void test_pruning(Effort effort);
void test_token_rows(Effort effort);
