// The string arguments of the ops. torch's own conversion to std::string (2.10 to 2.13) leaks one string per call; this
// one frees the handle that it is given.
#pragma once

#include <torch/csrc/stable/library.h>

#include <string>

namespace gapo {

struct Text {
  std::string value;
};

}  // namespace gapo

template <>
struct torch::stable::detail::ToImpl<gapo::Text> {
  static gapo::Text call(StableIValue value, uint64_t /*extension_build_version*/, bool /*is_internal*/) {
    const auto handle = torch::stable::detail::to<StringHandle>(value);
    size_t length = 0;
    const char* data = nullptr;
    TORCH_ERROR_CODE_CHECK(torch_string_length(handle, &length));
    TORCH_ERROR_CODE_CHECK(torch_string_c_str(handle, &data));
    gapo::Text text{std::string(data, length)};
    TORCH_ERROR_CODE_CHECK(torch_delete_string(handle));
    return text;
  }
};
