// For kernels that others compiled: runs one of a PTX text.
#include <string>

#include "machine.h"

// arguments: the address of each parameter's value; cluster, early, beside: as Launch has them. Returns nothing, or
// what the kernel did that it may not do; valid until the next call.
extern "C" __attribute__((visibility("default"))) const char* gapo_ptx_run(const char* text, const char* kernel,
                                                                           const uint32_t* grid, const uint32_t* block,
                                                                           std::size_t dynamic_shared,
                                                                           const void* const* arguments,
                                                                           uint32_t cluster, bool early, bool beside) {
  static std::string error;
  try {
    const auto module = ptx::parse(text);
    const auto found = module->kernels.find(kernel);
    if (found == module->kernels.end()) throw ptx::Fault("no kernel of this name: " + std::string(kernel));
    ptx::run({&found->second,
              {grid[0], grid[1], grid[2]},
              {block[0], block[1], block[2]},
              dynamic_shared,
              arguments,
              false,
              cluster,
              early,
              beside});
    return nullptr;
  } catch (const std::exception& fault) {
    error = fault.what();
    return error.c_str();
  }
}
