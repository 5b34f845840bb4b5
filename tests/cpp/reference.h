// The op once more, written from its definition and nothing else: one group at a time, in long double.
#pragma once

#include <vector>

#include "cpu/backend.h"

// Checks the advantages and the statistics of one group against the definition.
template <typename T>
void check_group(const gapo::Rule& rule, const std::vector<T>& rewards, const std::vector<T>& advantage,
                 const T* stats);

// What the current case is called.
std::string describe(const gapo::Rule& rule, int64_t size);

// Every centre with every scale, with shares and epsilons that take turns.
std::vector<gapo::Rule> every_rule();
