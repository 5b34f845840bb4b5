// A PTX module as the interpreter runs it: kernels whose instructions hold numbered registers and a function to call.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace ptx {

inline constexpr int kWarpSize = 32;

struct Thread;
struct Warp;
struct Group;
struct Instruction;

// What the module or a kernel does that it may not do, or that is not known here.
struct Fault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A 64-bit cell: of the thread's registers, or of the kernel's constants. Narrower types use its low bits.
struct Operand {
  uint32_t index = 0;  // a register's cells for all lanes of a warp lie side by side
  bool constant = false;
  bool negated = false;  // predicates: !%p
};

enum class Kind {
  kPlain,   // touches its own thread alone, and is run for those that are there together
  kBranch,  // to target
  kExit,
  kWarp,     // waits for the lanes that its mask names, then runs for all of them together
  kBarrier,  // waits for all threads of the block, or for all that have to arrive at its cluster's barrier
};

struct Instruction {
  Kind kind = Kind::kPlain;
  void (*run)(Group&, const Instruction&) = nullptr;                     // kPlain
  void (*together)(Warp&, const Instruction&, uint32_t mask) = nullptr;  // kWarp
  std::array<Operand, 4> out{};
  std::array<Operand, 5> in{};
  int outs = 0, ins = 0;
  int64_t offset = 0;  // of an address
  int32_t guard = -1;  // the predicate register that it depends on
  bool guard_negated = false;
  uint32_t target = 0;
  bool whole_warp = false;  // kWarp without a mask
  bool of_cluster = false;  // kBarrier
  uint8_t mode = 0;         // rounding, comparison and the like, as the instruction's function reads it
  uint32_t line = 0;        // in the PTX text
  std::string_view text;
};

// A register that has its value before the first instruction.
struct Preset {
  enum class What { kParameter, kLocal, kDynamicShared, kThread, kBlock, kBlockSize, kGridSize, kLane, kLaneMask } what;
  uint32_t index;   // of the register
  uint64_t detail;  // byte offset, axis, or how a lane mask compares
};

struct Parameter {
  std::size_t offset, size;
};

struct Kernel {
  std::string name;
  std::vector<Instruction> code;
  std::vector<uint64_t> constants;
  std::vector<Preset> presets;
  std::vector<Parameter> parameters;
  std::size_t parameter_bytes = 0, local_bytes = 0, shared_bytes = 0;
  uint32_t registers = 0;
};

struct Module {
  std::string text;  // the kernels' instructions point into it
  std::map<std::string, Kernel> kernels;
};

// Reads the text of one PTX file. Throws Fault with the line at what it does not know.
std::unique_ptr<Module> parse(std::string text);

// Completes an instruction from its opcode, "add.s32" say, once its operands are there.
void decode(std::string_view opcode, Instruction& instruction);

}  // namespace ptx
