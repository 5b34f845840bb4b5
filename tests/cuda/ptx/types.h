// PTX's scalar types in C++, and opcodes taken apart.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "module.h"

namespace ptx {

// 16-bit floats, as the bits of a register.
struct Half {
  uint16_t bits;
};
struct BFloat {
  uint16_t bits;
};

inline double widen(Half h) {
  _Float16 value;
  std::memcpy(&value, &h.bits, 2);
  return static_cast<double>(value);
}
inline double widen(BFloat b) {
  const uint32_t bits = uint32_t{b.bits} << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
inline void narrow(double wide, Half& h) {
  const auto value = static_cast<_Float16>(wide);
  std::memcpy(&h.bits, &value, 2);
}
inline void narrow(double wide, BFloat& b) {
  const auto value = static_cast<float>(wide);
  if (static_cast<double>(value) != wide && wide == wide) throw Fault("a conversion to bfloat16 that rounds twice");
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  b.bits = static_cast<uint16_t>(value != value ? 0x7FFF : (bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

// "ld.global.v2.f64" as its parts.
struct Opcode {
  std::vector<std::string_view> parts;

  explicit Opcode(std::string_view text) {
    for (std::size_t begin = 0; begin <= text.size();) {
      const std::size_t end = std::min(text.find('.', begin), text.size());
      parts.push_back(text.substr(begin, end - begin));
      begin = end + 1;
    }
  }
  std::string_view name() const { return parts.front(); }
  std::string_view type() const { return parts.back(); }
  std::string_view type_before() const { return parts.at(parts.size() - 2); }
  bool has(std::string_view part) const {
    for (const auto each : parts) {
      if (each == part) return true;
    }
    return false;
  }
};

// Calls body.operator()<T>() with the C++ type of a PTX type; bit types count as unsigned.
template <typename Body>
auto with_type(std::string_view type, Body body) {
  if (type == "u8" || type == "b8") return body.template operator()<uint8_t>();
  if (type == "u16" || type == "b16") return body.template operator()<uint16_t>();
  if (type == "u32" || type == "b32") return body.template operator()<uint32_t>();
  if (type == "u64" || type == "b64") return body.template operator()<uint64_t>();
  if (type == "s8") return body.template operator()<int8_t>();
  if (type == "s16") return body.template operator()<int16_t>();
  if (type == "s32") return body.template operator()<int32_t>();
  if (type == "s64") return body.template operator()<int64_t>();
  if (type == "f32") return body.template operator()<float>();
  if (type == "f64") return body.template operator()<double>();
  if (type == "f16") return body.template operator()<Half>();
  if (type == "bf16") return body.template operator()<BFloat>();
  throw Fault("an unknown type: " + std::string(type));
}

template <typename T>
concept Integer = std::is_integral_v<T>;
template <typename T>
inline constexpr bool kIsSmallFloat = std::is_same_v<T, Half> || std::is_same_v<T, BFloat>;

using Run = void (*)(Group&, const Instruction&);

// with_type for integers of 32 and 64 bits; nothing for the others.
template <typename Body>
Run for_words(std::string_view type, Body body) {
  return with_type(type, [&]<typename T>() -> Run {
    if constexpr (Integer<T> && sizeof(T) >= 4) {
      return body.template operator()<T>();
    } else {
      return nullptr;
    }
  });
}

// Decoders of the families of instructions; each says whether the opcode is one of its own.
bool decode_arithmetic(const Opcode& opcode, Instruction& instruction);
bool decode_bits(const Opcode& opcode, Instruction& instruction);
bool decode_predicates(const Opcode& opcode, Instruction& instruction);
bool decode_conversion(const Opcode& opcode, Instruction& instruction);
bool decode_memory(const Opcode& opcode, Instruction& instruction);
bool decode_matrices(const Opcode& opcode, Instruction& instruction);
bool decode_together(const Opcode& opcode, Instruction& instruction);

}  // namespace ptx
