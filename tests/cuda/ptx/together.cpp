// What a warp's lanes do together: shuffles, votes, reductions, bar.warp.sync.
#include <algorithm>

#include "machine.h"
#include "types.h"

namespace ptx {
namespace {

using Together = void (*)(Warp&, const Instruction&, uint32_t);

template <typename Body>
void for_lanes(uint32_t mask, Body body) {
  for (int lane = 0; lane < kWarpSize; ++lane) {
    if (mask >> lane & 1) body(lane);
  }
}

// As the PTX manual has it.
template <char kMode>
void shuffle(Warp& warp, const Instruction& i, uint32_t mask) {
  uint32_t values[kWarpSize] = {}, results[kWarpSize] = {};
  bool inside[kWarpSize] = {};
  for_lanes(mask, [&](int lane) { values[lane] = warp.lanes[lane].get<uint32_t>(i.in[0]); });
  for_lanes(mask, [&](int lane) {
    const Thread& t = warp.lanes[lane];
    const int b = t.get<uint32_t>(i.in[1]) & 31;
    const auto c = t.get<uint32_t>(i.in[2]);
    const int clamp = c & 31, segment = c >> 8 & 31;
    const int last = (lane & segment) | (clamp & ~segment);
    int source = kMode == 'u'   ? lane - b
                 : kMode == 'd' ? lane + b
                 : kMode == 'x' ? lane ^ b
                                : (lane & segment) | (b & ~segment);
    inside[lane] = kMode == 'u' ? source >= last : source <= last;
    if (!inside[lane]) source = lane;
    if (!(mask >> source & 1)) throw Fault("a shuffle from lane " + std::to_string(source) + ", which takes no part");
    results[lane] = values[source];
  });
  for_lanes(mask, [&](int lane) {
    warp.lanes[lane].put<uint32_t>(i.out[0], results[lane]);
    if (i.outs == 2) warp.lanes[lane].put<uint8_t>(i.out[1], inside[lane]);
  });
}

enum Vote : uint8_t { kBallot, kAny, kAll };

void vote(Warp& warp, const Instruction& i, uint32_t mask) {
  uint32_t ballot = 0;
  for_lanes(mask, [&](int lane) { ballot |= uint32_t{warp.lanes[lane].predicate(i.in[0])} << lane; });
  const uint32_t result = i.mode == kBallot ? ballot : i.mode == kAny ? ballot != 0 : ballot == mask;
  for_lanes(mask, [&](int lane) { warp.lanes[lane].put<uint32_t>(i.out[0], result); });
}

template <typename T>
void match_any(Warp& warp, const Instruction& i, uint32_t mask) {
  for_lanes(mask, [&](int lane) {
    uint32_t equal = 0;
    for_lanes(mask, [&](int other) {
      equal |= uint32_t{warp.lanes[other].get<T>(i.in[0]) == warp.lanes[lane].get<T>(i.in[0])} << other;
    });
    warp.lanes[lane].put<uint32_t>(i.out[0], equal);
  });
}

template <typename T, typename Op>
void reduce(Warp& warp, const Instruction& i, uint32_t mask, Op op) {
  bool first = true;
  T result{};
  for_lanes(mask, [&](int lane) {
    const T value = warp.lanes[lane].get<T>(i.in[0]);
    result = first ? value : op(result, value);
    first = false;
  });
  for_lanes(mask, [&](int lane) { warp.lanes[lane].put<T>(i.out[0], result); });
}
template <typename T>
Together reduce_of(const Opcode& opcode) {
  const auto is = [&](std::string_view name) { return opcode.has(name); };
  if (is("add"))
    return [](Warp& w, const Instruction& i, uint32_t m) {
      reduce<T>(w, i, m, [](T a, T b) { return static_cast<T>(uint32_t(a) + uint32_t(b)); });
    };
  if (is("min"))
    return
        [](Warp& w, const Instruction& i, uint32_t m) { reduce<T>(w, i, m, [](T a, T b) { return std::min(a, b); }); };
  if (is("max"))
    return
        [](Warp& w, const Instruction& i, uint32_t m) { reduce<T>(w, i, m, [](T a, T b) { return std::max(a, b); }); };
  if (is("and"))
    return [](Warp& w, const Instruction& i, uint32_t m) { reduce<T>(w, i, m, [](T a, T b) { return a & b; }); };
  if (is("or"))
    return [](Warp& w, const Instruction& i, uint32_t m) { reduce<T>(w, i, m, [](T a, T b) { return a | b; }); };
  return nullptr;
}

void sync_warp(Warp& warp, const Instruction&, uint32_t) { ++*warp.epoch; }

}  // namespace

// The mask is the last operand of each.
bool decode_together(const Opcode& opcode, Instruction& i) {
  const std::string_view name = opcode.name();
  if (name == "shfl" && opcode.has("sync")) {
    i.together = opcode.has("up")     ? shuffle<'u'>
                 : opcode.has("down") ? shuffle<'d'>
                 : opcode.has("bfly") ? shuffle<'x'>
                 : opcode.has("idx")  ? shuffle<'i'>
                                      : nullptr;
  } else if (name == "vote" && opcode.has("sync")) {
    i.mode = opcode.has("ballot") ? kBallot : opcode.has("any") ? kAny : kAll;
    i.together = opcode.has("uni") ? nullptr : vote;
  } else if (name == "match" && opcode.has("any")) {
    i.together = opcode.type() == "b32" || opcode.parts[2] == "b32" ? match_any<uint32_t> : match_any<uint64_t>;
  } else if (name == "redux") {
    i.together = opcode.has("s32") ? reduce_of<int32_t>(opcode) : reduce_of<uint32_t>(opcode);
  } else if (name == "bar" && opcode.has("warp")) {
    i.together = sync_warp;
  }
  if (i.together) i.kind = Kind::kWarp;
  return i.together != nullptr;
}

}  // namespace ptx
