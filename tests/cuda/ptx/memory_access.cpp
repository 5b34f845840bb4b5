// Loads, stores and atomics.
#include <algorithm>

#include "machine.h"
#include "types.h"

namespace ptx {
namespace {

using Access = SharedMemory::Access;

enum Space : uint8_t { kGeneric, kGlobal, kShared, kLocal, kParameter, kSpaceMask = 7, kRelaxed = 8, kOwnBlock = 16 };

uint32_t warp_epoch(const Thread& t) { return t.block->warp_epochs[t.number / kWarpSize]; }

// The host's memory behind the address, once the access is found to be allowed.
unsigned char* place_of(Thread& t, const Instruction& i, std::size_t bytes, Access access,
                        const unsigned char* value = nullptr) {
  Block& block = *t.block;
  const uint64_t address = t.bits(i.in[0]) + static_cast<uint64_t>(i.offset);
  if (address % bytes != 0) throw Fault("a misaligned access of " + std::to_string(bytes) + " bytes");
  auto* const place = reinterpret_cast<unsigned char*>(address);
  const auto space = static_cast<Space>(i.mode & kSpaceMask);
  access.atomic |= (i.mode & kRelaxed) != 0;
  const auto inside = [&](const std::vector<unsigned char>& memory) {
    return place >= memory.data() && place + bytes <= memory.data() + memory.size();
  };
  if (space == kShared || (space == kGeneric && block.shared.holds(place))) {
    const uint64_t begin = space == kShared ? 0 : reinterpret_cast<uint64_t>(block.shared.data());
    block.shared.touch(address - begin, bytes, access, t.number, warp_epoch(t), value);
    return block.shared.data() + (address - begin);
  }
  if (space != kGlobal && (inside(block.parameters) || inside(block.local))) return place;
  if (space == kLocal || space == kParameter) throw Fault("outside the thread's own memory");
  const bool beside = block.launch->beside;
  if (!t.may_go_on) {
    if (!beside) throw Fault("touches global memory before griddepcontrol.wait");
    if (access.reads && !(i.mode & kRelaxed)) throw Fault("reads through the L1 cache before griddepcontrol.wait");
  }
  touch_global(address, bytes, access, beside);
  const bool relaxed = access.atomic && !(i.mode & kOwnBlock);
  check_global_race(address, bytes, access.reads, access.writes, relaxed, {block.order, t.number, warp_epoch(t)});
  return place;
}

template <typename T>
void load(Thread& t, const Instruction& i) {
  const unsigned char* const place = place_of(t, i, sizeof(T) * i.outs, {true, false, false});
  for (int n = 0; n < i.outs; ++n) {
    T value;
    std::memcpy(&value, place + n * sizeof(T), sizeof(T));
    t.put_extended(i.out[n], value);
  }
}

template <typename T>
void store(Thread& t, const Instruction& i) {
  const int count = i.ins - 1;
  unsigned char values[sizeof(T) * std::tuple_size_v<decltype(i.in)>];
  for (int n = 0; n < count; ++n) {
    const T value = t.get<T>(i.in[1 + n]);
    std::memcpy(values + n * sizeof(T), &value, sizeof(T));
  }
  std::memcpy(place_of(t, i, sizeof(T) * count, {false, true, false}, values), values, sizeof(T) * count);
}

template <typename T>
T add(T a, T b, T) {
  return a + b;
}
template <typename T>
T lowest(T a, T b, T) {
  return std::min(a, b);
}
template <typename T>
T highest(T a, T b, T) {
  return std::max(a, b);
}
template <typename T>
T exchange(T, T b, T) {
  return b;
}
template <typename T>
T exchange_if_equal(T a, T b, T c) {
  return a == b ? c : a;
}
template <typename T>
T bits_and(T a, T b, T) {
  return a & b;
}
template <typename T>
T bits_or(T a, T b, T) {
  return a | b;
}
template <typename T>
T increment(T a, T b, T) {
  return a >= b ? 0 : a + 1;
}

template <typename T, T (*kOp)(T, T, T)>
void atomic(Thread& t, const Instruction& i) {
  unsigned char* const place = place_of(t, i, sizeof(T), {true, true, true});
  T before;
  std::memcpy(&before, place, sizeof(T));
  const T after = kOp(before, t.get<T>(i.in[1]), i.ins > 2 ? t.get<T>(i.in[2]) : T{});
  std::memcpy(place, &after, sizeof(T));
  if (i.outs > 0) t.put<T>(i.out[0], before);
}

template <typename T>
Run atomic_of(const Opcode& opcode) {
  if (opcode.has("add")) return each<atomic<T, add<T>>>;
  if (opcode.has("exch")) return each<atomic<T, exchange<T>>>;
  if constexpr (std::is_integral_v<T>) {
    if (opcode.has("min")) return each<atomic<T, lowest<T>>>;
    if (opcode.has("max")) return each<atomic<T, highest<T>>>;
    if (opcode.has("cas")) return each<atomic<T, exchange_if_equal<T>>>;
    if (opcode.has("and")) return each<atomic<T, bits_and<T>>>;
    if (opcode.has("or")) return each<atomic<T, bits_or<T>>>;
    if (opcode.has("inc")) return each<atomic<T, increment<T>>>;
  }
  return nullptr;
}

}  // namespace

bool decode_memory(const Opcode& opcode, Instruction& i) {
  const std::string_view name = opcode.name();
  const bool loads = name == "ld" || name == "ldu", stores = name == "st", changes = name == "atom" || name == "red";
  if (!loads && !stores && !changes) return false;
  const auto in = [&](std::string_view space) {
    return std::any_of(opcode.parts.begin(), opcode.parts.end(), [&](auto part) {
      return part == space || (part.starts_with(space) && part.substr(space.size()).starts_with("::"));
    });
  };
  i.mode = in("global") || in("const") ? kGlobal
           : in("shared")              ? kShared
           : in("local")               ? kLocal
           : in("param")               ? kParameter
                                       : kGeneric;
  if (in("relaxed") || in("acquire") || in("release") || in("volatile")) i.mode |= kRelaxed;
  if (opcode.has("cta")) i.mode |= kOwnBlock;  // its scope
  i.run = with_type(opcode.type(), [&]<typename T>() -> Run {
    if (loads) return each<load<T>>;
    if (stores) return each<store<T>>;
    if constexpr (sizeof(T) >= 4) {
      return atomic_of<T>(opcode);
    } else {
      return nullptr;
    }
  });
  return i.run != nullptr;
}

}  // namespace ptx
