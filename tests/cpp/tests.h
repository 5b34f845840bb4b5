// The tests, one function a promise. Effort::kSmall leaves out sizes and repetitions, for an emulated CPU.
#pragma once

enum class Effort { kSmall, kFull };

void test_networks(Effort effort);
void test_sort_columns(Effort effort);
void test_load_columns(Effort effort);
void test_sort_group(Effort effort);
void test_ranked_group(Effort effort);
void test_compress(Effort effort);
void test_contiguous(Effort effort);
void test_by_id(Effort effort);
void test_grouping(Effort effort);
void test_tokens(Effort effort);
void test_threads(Effort effort);
void test_batches(Effort effort);
