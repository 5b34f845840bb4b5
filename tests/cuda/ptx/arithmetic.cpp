// Arithmetic and logic on one type.
#include <algorithm>

#include "machine.h"
#include "types.h"

namespace ptx {
namespace {

// Signed arithmetic wraps round.
template <typename T>
struct Wrapping {
  using type = T;
};
template <typename T>
  requires std::is_integral_v<T>
struct Wrapping<T> {
  using type = std::make_unsigned_t<T>;
};
template <typename T>
using Wrapped = typename Wrapping<T>::type;

template <typename T, typename Op>
T wrap(T a, T b, Op op) {
  return static_cast<T>(op(static_cast<Wrapped<T>>(a), static_cast<Wrapped<T>>(b)));
}

struct Add {
  template <typename T>
  static T of(T a, T b) {
    return wrap(a, b, [](auto x, auto y) { return x + y; });
  }
};
struct Sub {
  template <typename T>
  static T of(T a, T b) {
    return wrap(a, b, [](auto x, auto y) { return x - y; });
  }
};
struct Mul {
  template <typename T>
  static T of(T a, T b) {
    if constexpr (std::is_integral_v<T>) {
      return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
    } else {
      return a * b;
    }
  }
};
struct Div {
  template <typename T>
  static T of(T a, T b) {
    if constexpr (std::is_integral_v<T>) {
      if (b == 0) throw Fault("a division by zero");
    }
    return static_cast<T>(a / b);
  }
};
struct Rem {
  template <typename T>
    requires std::is_integral_v<T>
  static T of(T a, T b) {
    if (b == 0) throw Fault("a division by zero");
    return static_cast<T>(a % b);
  }
};
// The one that is a number; -0 below +0.
struct Min {
  template <typename T>
  static T of(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) {
      if (a != a) return b;
      if (b != b) return a;
      if (a == b) return std::signbit(a) ? a : b;
    }
    return a < b ? a : b;
  }
};
struct Max {
  template <typename T>
  static T of(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) {
      if (a != a) return b;
      if (b != b) return a;
      if (a == b) return std::signbit(a) ? b : a;
    }
    return a > b ? a : b;
  }
};
struct And {
  template <Integer T>
  static T of(T a, T b) {
    return a & b;
  }
};
struct Or {
  template <Integer T>
  static T of(T a, T b) {
    return a | b;
  }
};
struct Xor {
  template <Integer T>
  static T of(T a, T b) {
    return a ^ b;
  }
};
// Both factors are integers; of the product's upper half.
struct MulHigh {
  template <Integer T>
  static T of(T a, T b) {
    using Wide = std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>;
    return static_cast<T>(static_cast<Wide>(a) * static_cast<Wide>(b) >> (8 * sizeof(T)));
  }
};

struct Move {
  template <typename T>
  static T of(T a) {
    return a;
  }
};
template <typename T>
concept Number = std::is_arithmetic_v<T>;
struct Neg {
  template <Number T>
  static T of(T a) {
    if constexpr (std::is_integral_v<T>)
      return Sub::of(T{0}, a);
    else
      return -a;
  }
};
struct Abs {
  template <typename T>
    requires std::is_signed_v<T>
  static T of(T a) {
    if constexpr (std::is_integral_v<T>)
      return a < 0 ? Sub::of(T{0}, a) : a;
    else
      return std::fabs(a);
  }
};
struct Not {
  template <Integer T>
  static T of(T a) {
    return static_cast<T>(~a);
  }
};
template <typename T>
concept Float = std::is_floating_point_v<T>;
// The second's magnitude with the first's sign.
struct CopySign {
  template <Float T>
  static T of(T a, T b) {
    return std::copysign(b, a);
  }
};
struct Sqrt {
  template <Float T>
  static T of(T a) {
    return std::sqrt(a);
  }
};
struct Reciprocal {
  template <Float T>
  static T of(T a) {
    return T{1} / a;
  }
};

template <typename Op, typename T>
void unary(Thread& t, const Instruction& i) {
  t.put<T>(i.out[0], Op::of(t.get<T>(i.in[0])));
}
template <typename Op, typename T>
void binary(Thread& t, const Instruction& i) {
  t.put<T>(i.out[0], Op::of(t.get<T>(i.in[0]), t.get<T>(i.in[1])));
}
template <typename Op>
Run unary_of(std::string_view type) {
  return with_type(type, []<typename T>() -> Run {
    if constexpr (requires { Op::of(T{}); }) {
      return each<unary<Op, T>>;
    } else {
      return nullptr;
    }
  });
}
template <typename Op>
Run binary_of(std::string_view type) {
  return with_type(type, []<typename T>() -> Run {
    if constexpr (!kIsSmallFloat<T> && requires { Op::of(T{}, T{}); }) {
      return each<binary<Op, T>>;
    } else {
      return nullptr;
    }
  });
}

template <typename T>
void fused(Thread& t, const Instruction& i) {
  t.put<T>(i.out[0], std::fma(t.get<T>(i.in[0]), t.get<T>(i.in[1]), t.get<T>(i.in[2])));
}
template <typename T>
void multiply_add(Thread& t, const Instruction& i) {
  t.put<T>(i.out[0], Add::of(Mul::of(t.get<T>(i.in[0]), t.get<T>(i.in[1])), t.get<T>(i.in[2])));
}
template <typename T, typename Wide>
void multiply_wide(Thread& t, const Instruction& i) {
  Wide product = static_cast<Wide>(static_cast<Wide>(t.get<T>(i.in[0])) * static_cast<Wide>(t.get<T>(i.in[1])));
  if (i.ins == 3) product = Add::of(product, t.get<Wide>(i.in[2]));
  t.put<Wide>(i.out[0], product);
}
Run wide_of(std::string_view type) {
  if (type == "u16") return each<multiply_wide<uint16_t, uint32_t>>;
  if (type == "s16") return each<multiply_wide<int16_t, int32_t>>;
  if (type == "u32") return each<multiply_wide<uint32_t, uint64_t>>;
  if (type == "s32") return each<multiply_wide<int32_t, int64_t>>;
  return nullptr;
}

}  // namespace

bool decode_arithmetic(const Opcode& opcode, Instruction& i) {
  const std::string_view name = opcode.name(), type = opcode.type();
  if (type == "pred" || opcode.has("ftz") || opcode.has("sat") || opcode.has("NaN")) return false;
  if (name == "mov" && i.ins == 1 && i.outs == 1) {
    i.run = unary_of<Move>(type);
  } else if (name == "add") {
    i.run = binary_of<Add>(type);
  } else if (name == "sub") {
    i.run = binary_of<Sub>(type);
  } else if (name == "mul" && opcode.has("wide")) {
    i.run = wide_of(type);
  } else if (name == "mul") {
    i.run = opcode.has("hi") ? binary_of<MulHigh>(type) : binary_of<Mul>(type);
  } else if (name == "mad" && opcode.has("wide")) {
    i.run = wide_of(type);
  } else if (name == "mad" && opcode.has("lo")) {
    i.run = for_words(type, []<typename T>() -> Run { return each<multiply_add<T>>; });
  } else if (name == "fma") {
    i.run = type == "f32" ? each<fused<float>> : type == "f64" ? each<fused<double>> : nullptr;
  } else if (name == "div") {
    i.run = binary_of<Div>(type);
  } else if (name == "rem") {
    i.run = binary_of<Rem>(type);
  } else if (name == "min") {
    i.run = binary_of<Min>(type);
  } else if (name == "max") {
    i.run = binary_of<Max>(type);
  } else if (name == "and") {
    i.run = binary_of<And>(type);
  } else if (name == "or") {
    i.run = binary_of<Or>(type);
  } else if (name == "xor") {
    i.run = binary_of<Xor>(type);
  } else if (name == "not") {
    i.run = unary_of<Not>(type);
  } else if (name == "neg") {
    i.run = unary_of<Neg>(type);
  } else if (name == "abs") {
    i.run = unary_of<Abs>(type);
  } else if (name == "sqrt") {
    i.run = opcode.has("rn") ? unary_of<Sqrt>(type) : nullptr;
  } else if (name == "copysign") {
    i.run = binary_of<CopySign>(type);
  } else if (name == "rcp") {
    i.run = opcode.has("rn") ? unary_of<Reciprocal>(type) : nullptr;
  }
  return i.run != nullptr;
}

}  // namespace ptx
