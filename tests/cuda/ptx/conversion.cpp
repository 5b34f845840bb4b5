// cvt: between any two types, rounded as the opcode says.
#include "machine.h"
#include "types.h"

namespace ptx {
namespace {

enum Rounding : uint8_t { kNearest, kToZero, kDown, kUp };

double integral(double value, uint8_t rounding) {
  switch (rounding) {
    case kToZero:
      return std::trunc(value);
    case kDown:
      return std::floor(value);
    case kUp:
      return std::ceil(value);
    default:
      return std::nearbyint(value);
  }
}

// To an integer: what does not fit becomes the nearest that does, NaN becomes 0 (64 bits: the lowest).
template <typename To>
To clamped(double value) {
  using Limits = std::numeric_limits<To>;
  if (value != value) return sizeof(To) == 8 ? static_cast<To>(uint64_t{1} << 63) : To{0};
  if (value < static_cast<double>(Limits::min())) return Limits::min();
  if (value >= std::ldexp(1.0, Limits::digits)) return Limits::max();
  return static_cast<To>(value);
}

// Value: an integer, or double for every float.
template <typename To, typename Value>
To converted(Value value) {
  if constexpr (kIsSmallFloat<To>) {
    To to;
    narrow(static_cast<double>(value), to);
    return to;
  } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<Value>) {
    return clamped<To>(value);
  } else {
    return static_cast<To>(value);
  }
}

template <typename To, typename From>
void convert(Thread& t, const Instruction& i) {
  const From from = t.get<From>(i.in[0]);
  if constexpr (std::is_integral_v<From>) {
    t.put_extended(i.out[0], converted<To>(from));
  } else {
    double value;
    if constexpr (kIsSmallFloat<From>) {
      value = widen(from);
    } else {
      value = from;
    }
    if (std::is_integral_v<To> || i.mode >= 4) value = integral(value, i.mode & 3);
    t.put_extended(i.out[0], converted<To>(value));
  }
}

// A pointer between a space and the generic one: they differ for shared memory alone.
template <bool kToShared>
void shared_pointer(Thread& t, const Instruction& i) {
  const auto begin = reinterpret_cast<uint64_t>(t.block->shared.data());
  t.put<uint64_t>(i.out[0], kToShared ? t.bits(i.in[0]) - begin : begin + t.bits(i.in[0]));
}
void same(Thread& t, const Instruction& i) { t.put<uint64_t>(i.out[0], t.bits(i.in[0])); }

}  // namespace

bool decode_conversion(const Opcode& opcode, Instruction& i) {
  if (opcode.name() == "cvta") {
    const bool to = opcode.has("to");
    i.run = !opcode.has("shared") ? each<same> : to ? each<shared_pointer<true>> : each<shared_pointer<false>>;
    return true;
  }
  if (opcode.name() != "cvt" || opcode.has("sat") || opcode.has("ftz") || i.ins != 1) return false;
  const std::string_view to = opcode.type_before(), from = opcode.type();
  const bool from_float = from.find('f') != from.npos, to_float = to.find('f') != to.npos;
  for (const auto part : opcode.parts) {
    if (part.size() < 2 || part.size() > 3 || part[0] != 'r') continue;
    const std::size_t which = std::string_view("nzmp").find(part[1]);
    if (which == std::string_view::npos) return false;
    if (part.size() == 2 && which != kNearest && to_float) return false;  // of a float: to nearest alone
    i.mode = static_cast<uint8_t>(which + (part.size() == 3 ? 4 : 0));
  }
  if (from_float && !to_float && i.mode < 4) return false;
  i.run = with_type(to, [&]<typename To>() {
    return with_type(from, []<typename From>() -> Run { return each<convert<To, From>>; });
  });
  return true;
}

}  // namespace ptx
