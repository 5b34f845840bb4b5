// Shifts, fields and bytes: what looks at a register's bits.
#include <algorithm>
#include <bit>

#include "machine.h"
#include "types.h"

namespace ptx {
namespace {

// A distance beyond the width takes every bit out.
template <typename T, bool kLeft>
void shift(Thread& t, const Instruction& i) {
  constexpr uint32_t width = 8 * sizeof(T);
  const auto distance = std::min(t.get<uint32_t>(i.in[1]), width);
  const T value = t.get<T>(i.in[0]);
  if (distance < width) {
    t.put<T>(i.out[0],
             static_cast<T>(kLeft ? static_cast<std::make_unsigned_t<T>>(value) << distance : value >> distance));
  } else {
    t.put<T>(i.out[0], kLeft || value >= 0 ? T{0} : static_cast<T>(-1));
  }
}
template <bool kLeft>
Run shift_of(std::string_view type) {
  return with_type(type, []<typename T>() -> Run {
    if constexpr (Integer<T>) {
      return each<shift<T, kLeft>>;
    } else {
      return nullptr;
    }
  });
}
// {high, low} shifted as one.
template <bool kLeft, bool kWrap>
void funnel(Thread& t, const Instruction& i) {
  const uint64_t both = uint64_t{t.get<uint32_t>(i.in[1])} << 32 | t.get<uint32_t>(i.in[0]);
  const uint32_t given = t.get<uint32_t>(i.in[2]);
  const uint32_t distance = kWrap ? given & 31 : std::min(given, 32u);
  t.put<uint32_t>(i.out[0], static_cast<uint32_t>(kLeft ? both << distance >> 32 : both >> distance));
}

void permute(Thread& t, const Instruction& i) {
  const uint64_t bytes = uint64_t{t.get<uint32_t>(i.in[1])} << 32 | t.get<uint32_t>(i.in[0]);
  const auto selector = t.get<uint32_t>(i.in[2]);
  uint32_t result = 0;
  for (int n = 0; n < 4; ++n) {
    const uint32_t choice = selector >> 4 * n & 15;
    auto byte = static_cast<uint8_t>(bytes >> 8 * (choice & 7));
    if (choice & 8) byte = byte & 0x80 ? 0xFF : 0;
    result |= uint32_t{byte} << 8 * n;
  }
  t.put<uint32_t>(i.out[0], result);
}
void lookup(Thread& t, const Instruction& i) {
  const auto a = t.get<uint32_t>(i.in[0]), b = t.get<uint32_t>(i.in[1]), c = t.get<uint32_t>(i.in[2]);
  const auto table = t.get<uint32_t>(i.in[3]);
  uint32_t result = 0;
  for (int bit = 0; bit < 32; ++bit) {
    const uint32_t row = (a >> bit & 1) << 2 | (b >> bit & 1) << 1 | (c >> bit & 1);
    result |= (table >> row & 1) << bit;
  }
  t.put<uint32_t>(i.out[0], result);
}
template <typename T>
void extract(Thread& t, const Instruction& i) {
  constexpr uint32_t width = 8 * sizeof(T);
  const uint32_t begin = t.get<uint32_t>(i.in[1]) & 255, length = t.get<uint32_t>(i.in[2]) & 255;
  const T value = t.get<T>(i.in[0]);
  const uint32_t end = std::min(begin + length, width);
  T result = 0;
  if (length > 0 && begin < width) {
    const uint32_t kept = end - begin;
    result =
        static_cast<T>(static_cast<T>(static_cast<std::make_unsigned_t<T>>(value) << (width - end)) >> (width - kept));
  }
  t.put<T>(i.out[0], result);
}
template <typename T>
void insert(Thread& t, const Instruction& i) {
  const uint32_t begin = t.get<uint32_t>(i.in[2]) & 255, length = t.get<uint32_t>(i.in[3]) & 255;
  T result = t.get<T>(i.in[1]);
  for (uint32_t bit = 0; bit < length && begin + bit < 8 * sizeof(T); ++bit) {
    const T one = T{1} << (begin + bit);
    result = t.get<T>(i.in[0]) >> bit & 1 ? result | one : result & ~one;
  }
  t.put<T>(i.out[0], result);
}
// bmsk.clamp: in[1] bits set from in[0] on.
void mask(Thread& t, const Instruction& i) {
  const uint64_t begin = std::min(t.get<uint32_t>(i.in[0]), 32u), length = std::min(t.get<uint32_t>(i.in[1]), 32u);
  t.put<uint32_t>(i.out[0], static_cast<uint32_t>(((uint64_t{1} << length) - 1) << begin));
}
template <typename T>
void population(Thread& t, const Instruction& i) {
  t.put<uint32_t>(i.out[0], static_cast<uint32_t>(std::popcount(t.get<T>(i.in[0]))));
}
template <typename T>
void leading_zeros(Thread& t, const Instruction& i) {
  t.put<uint32_t>(i.out[0], static_cast<uint32_t>(std::countl_zero(t.get<T>(i.in[0]))));
}
// The highest bit that is set: its place, or how far it is from the top; all bits where there is none.
template <bool kDistance>
void highest_bit(Thread& t, const Instruction& i) {
  const auto value = t.get<uint32_t>(i.in[0]);
  const int zeros = std::countl_zero(value);
  t.put<uint32_t>(i.out[0], value == 0 ? ~0u : static_cast<uint32_t>(kDistance ? zeros : 31 - zeros));
}
void reverse(Thread& t, const Instruction& i) {
  uint32_t value = t.get<uint32_t>(i.in[0]), result = 0;
  for (int bit = 0; bit < 32; ++bit, value >>= 1) result = result << 1 | (value & 1);
  t.put<uint32_t>(i.out[0], result);
}

// mov with a vector on one side: the parts of a wider register.
void pack(Thread& t, const Instruction& i) {
  uint64_t value = 0;
  for (int n = i.ins - 1; n >= 0; --n) value = value << i.mode | (t.bits(i.in[n]) & ((uint64_t{1} << i.mode) - 1));
  t.put<uint64_t>(i.out[0], value);
}
void unpack(Thread& t, const Instruction& i) {
  uint64_t value = t.bits(i.in[0]);
  for (int n = 0; n < i.outs; ++n, value >>= i.mode) {
    t.put<uint64_t>(i.out[n], value & ((uint64_t{1} << i.mode) - 1));
  }
}

}  // namespace

bool decode_bits(const Opcode& opcode, Instruction& i) {
  const std::string_view name = opcode.name(), type = opcode.type();
  if (name == "mov" && (i.ins > 1 || i.outs > 1)) {
    const int width = type.ends_with("64") ? 64 : type.ends_with("32") ? 32 : 16;
    i.mode = static_cast<uint8_t>(width / std::max(i.ins, i.outs));
    i.run = i.ins > 1 ? each<pack> : each<unpack>;
  } else if (name == "shl") {
    i.run = shift_of<true>(type);
  } else if (name == "shr") {
    i.run = shift_of<false>(type);
  } else if (name == "shf") {
    const bool wraps = opcode.has("wrap");
    i.run = opcode.has("l") ? (wraps ? each<funnel<true, true>> : each<funnel<true, false>>)
                            : (wraps ? each<funnel<false, true>> : each<funnel<false, false>>);
  } else if (name == "prmt") {
    i.run = opcode.parts.size() == 2 ? each<permute> : nullptr;
  } else if (name == "lop3") {
    i.run = each<lookup>;
  } else if (name == "bfe") {
    i.run = for_words(type, []<typename T>() -> Run { return each<extract<T>>; });
  } else if (name == "bfi") {
    i.run = for_words(type, []<typename T>() -> Run { return each<insert<T>>; });
  } else if (name == "bmsk") {
    i.run = opcode.has("clamp") ? each<mask> : nullptr;
  } else if (name == "popc") {
    i.run = type == "b32" ? each<population<uint32_t>> : each<population<uint64_t>>;
  } else if (name == "clz") {
    i.run = type == "b32" ? each<leading_zeros<uint32_t>> : each<leading_zeros<uint64_t>>;
  } else if (name == "bfind" && type == "u32") {
    i.run = opcode.has("shiftamt") ? each<highest_bit<true>> : each<highest_bit<false>>;
  } else if (name == "brev") {
    i.run = each<reverse>;
  }
  return i.run != nullptr;
}

}  // namespace ptx
