// Predicates: comparisons that make them, logic on them, choices by them.
#include <algorithm>

#include "machine.h"
#include "types.h"

namespace ptx {
namespace {

template <typename T>
void select(Thread& t, const Instruction& i) {
  t.put<T>(i.out[0], t.get<T>(i.in[t.predicate(i.in[2]) ? 0 : 1]));
}

void not_predicate(Thread& t, const Instruction& i) { t.put<uint8_t>(i.out[0], !t.predicate(i.in[0])); }
void move_predicate(Thread& t, const Instruction& i) { t.put<uint8_t>(i.out[0], t.predicate(i.in[0])); }
template <char kOp>
void logic(Thread& t, const Instruction& i) {
  const bool a = t.predicate(i.in[0]), b = t.predicate(i.in[1]);
  t.put<uint8_t>(i.out[0], kOp == '&' ? a && b : kOp == '|' ? a || b : a != b);
}

constexpr std::string_view kComparisons[] = {"eq",  "ne",  "lt",  "le",  "gt",  "ge", "equ", "neu", "ltu",
                                             "leu", "gtu", "geu", "num", "nan", "lo", "ls",  "hi",  "hs"};
constexpr int kCombine = 64, kCombineStep = 64;  // in mode: 0 none, then and, or, xor

template <typename T>
bool compare(int how, T a, T b) {
  const bool ordered = a == a && b == b;
  switch (how) {
    case 0:
      return a == b;
    case 1:
      return ordered && a != b;
    case 2:
    case 14:
      return a < b;
    case 3:
    case 15:
      return a <= b;
    case 4:
    case 16:
      return a > b;
    case 5:
    case 17:
      return a >= b;
    case 6:
      return !ordered || a == b;
    case 7:
      return !ordered || a != b;
    case 8:
      return !ordered || a < b;
    case 9:
      return !ordered || a <= b;
    case 10:
      return !ordered || a > b;
    case 11:
      return !ordered || a >= b;
    case 12:
      return ordered;
    default:
      return !ordered;
  }
}
template <typename T>
void set_predicate(Thread& t, const Instruction& i) {
  const auto value = [&](const Operand& o) {
    if constexpr (kIsSmallFloat<T>) {
      return widen(t.get<T>(o));
    } else {
      return t.get<T>(o);
    }
  };
  const bool holds = compare(i.mode % kCombine, value(i.in[0]), value(i.in[1]));
  const auto combined = [&](bool value) {
    if (i.ins < 3) return value;
    const bool other = t.predicate(i.in[2]);
    const int how = i.mode / kCombineStep;
    return how == 1 ? value && other : how == 2 ? value || other : value != other;
  };
  t.put<uint8_t>(i.out[0], combined(holds));
  if (i.outs == 2) t.put<uint8_t>(i.out[1], combined(!holds));
}
bool decode_setp(const Opcode& opcode, Instruction& i) {
  const auto* found = std::find(std::begin(kComparisons), std::end(kComparisons), opcode.parts.at(1));
  if (found == std::end(kComparisons)) return false;
  const int combine = opcode.has("and") ? 1 : opcode.has("or") ? 2 : opcode.has("xor") ? 3 : 0;
  if ((i.ins == 3) != (combine != 0)) return false;
  i.mode = static_cast<uint8_t>(found - std::begin(kComparisons) + kCombineStep * combine);
  i.run = with_type(opcode.type(), []<typename T>() -> Run { return each<set_predicate<T>>; });
  return true;
}

}  // namespace

bool decode_predicates(const Opcode& opcode, Instruction& i) {
  const std::string_view name = opcode.name(), type = opcode.type();
  if (name == "setp") return !opcode.has("ftz") && decode_setp(opcode, i) && i.run;
  if (name == "selp") {
    i.run = with_type(type, []<typename T>() -> Run { return each<select<T>>; });
  } else if (type == "pred") {
    i.run = name == "mov"   ? each<move_predicate>
            : name == "not" ? each<not_predicate>
            : name == "and" ? each<logic<'&'>>
            : name == "or"  ? each<logic<'|'>>
            : name == "xor" ? each<logic<'^'>>
                            : nullptr;
  }
  return i.run != nullptr;
}

}  // namespace ptx
